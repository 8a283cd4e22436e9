// Why a row is on a device, or why not; and what a device should hold.
import { html, useState } from "../lib.js";
import { useData } from "../api.js";
import { count, plural } from "../format.js";
import { AsOf, Badge, Facts, Field, Head, Loaded, RowLink } from "../parts.js";
import { href, setQuery } from "../router.js";
import { Table } from "../table.js";

function Ask({ query }) {
  const [v, set] = useState({ device: query.device || "", table: query.table || "", key: query.key || "" });
  const submit = (e) => {
    e.preventDefault();
    setQuery(v);
  };
  const field = (name, label, hint, list) => html`<${Field} label=${label}><input name=${name} required value=${v[name]} placeholder=${hint} list=${list} onInput=${(e) => set({ ...v, [name]: e.target.value })} /><//>`;
  const devices = useData("devices", { limit: 200, sort: "name", q: v.device });
  const tables = useData("tables", { limit: 1000 });
  return html`<form class="filters" onSubmit=${submit}>
    ${field("device", "Device", "its name", "devices")}${field("table", "Table", "contact", "tables")}${field("key", "Row's key", "x'0a0b'")}
    <datalist id="devices">${devices.data && devices.data.items.map((d) => html`<option key=${d.id} value=${d.name}></option>`)}</datalist>
    <datalist id="tables">${tables.data && tables.data.items.map((t) => html`<option key=${t.name} value=${t.name}></option>`)}</datalist>
    <button class="primary">Explain</button></form>`;
}

/** One step of why a row lies where it does. */
function Step({ step }) {
  const here = html`<${RowLink} table=${step.table} rowKey=${step.key} label=${`${step.table} ${step.key}`} />`;
  if (step.grant) return html`<li>${here} was given to it until ${step.grant.until}: ${step.grant.reason}</li>`;
  if (step.follows) {
    const f = step.follows;
    return html`<li>${here} follows <${RowLink} table=${f.table} rowKey=${f.key} label=${`${f.table} ${f.key}`} />${!f.there && ", which is not there"}${f.only && `, only where ${f.only}`}
      ${step.rule && html` <span class="faint">by ${step.rule}</span>`}</li>`;
  }
  return html`<li>${here} lies in <code>${step.bucket}</code>${step.rule && html` <span class="faint">by ${step.rule}</span>`}</li>`;
}

const Codes = ({ of, none }) => (of && of.length ? html`<ul class="codes">${of.map((c) => html`<li key=${c}><code>${c}</code></li>`)}</ul>` : html`<span class="none">${none}</span>`);

function Answer({ query }) {
  const from = useData("explain", { device: query.device, table: query.table, key: query.key });
  return html`<${Loaded} from=${from}>${(d) => html`<section class="card">
    <p class="headline"><${Badge} word=${d.held ? "held" : "not held"} tone=${d.held ? "good" : "bad"} /> ${d.device} ${d.held ? "is to hold" : "is not to hold"} ${d.table} <code>${d.key}</code></p>
    <${Facts} of=${[["Profile", d.profile || "none: it holds everything"], ["Both have", html`<${Codes} of=${d.shared} none=${d.profile ? "no bucket in common" : "–"} />`],
      ["The row lies in", html`<${Codes} of=${d.buckets} none="no bucket" />`],
      ["Columns that are not sent", html`<${Codes} of=${d.masked} none="none" />`]]} />
    <h2>Why the row lies where it does</h2>${d.because.length ? html`<ol class="steps">${d.because.map((s, i) => html`<${Step} key=${i} step=${s} />`)}</ol>` : html`<p class="empty">No rule puts it anywhere.</p>`}
    <h2>What the device may write to ${d.table}</h2>${d.writes.length ? html`<ul>${d.writes.map((w, i) => html`<li key=${i}>${w.ops.join(", ")}${w.columns ? ` of ${w.columns.join(", ")}` : ""}${
      w.anywhere ? ", of any row" : ", of rows that it holds"} <span class="faint">by ${w.rule}</span></li>`)}</ul>` : html`<p class="empty">${d.profile ? "Nothing." : "Everything."}</p>`}
    <details><summary>Buckets of the device: ${count(d.device_buckets.length)}</summary><${Codes} of=${d.device_buckets} none="none" /></details>
    <${AsOf} asOf=${d.as_of} /></section>`}<//>`;
}

function Choose({ query }) {
  return html`<${Table} path="devices" caption="Whose eyes?" sort="name" query=${query} columns=${[
    { name: "name", title: "Device", show: (d) => html`<a href=${href(["devices", d.id, "rows"])}>${d.name}</a>`, class: "name" }, { name: "profile", title: "Profile" }, { name: "user", title: "User", class: "short" },
    { name: "store", title: "Store", class: "short" }, { name: "ask", title: "One row", sort: false, show: (d) => html`<a href=${href("explain", { device: d.name })}>Explain</a>` }]} />`;
}

export default function Explain({ route }) {
  const { device, table, key } = route.query;
  const row = `${device}/${table}/${key}`; // The answer about another row does not stay until this one's comes.
  return html`<${Head} title="View as device" />
    <p>What a device should hold, and why a row is on it, or is not.</p>
    <${Ask} key=${row} query=${route.query} />
    ${device && table && key ? html`<${Answer} key=${row} query=${route.query} />` : html`<${Choose} query=${device ? { ...route.query, q: device } : route.query} />`}`;
}
