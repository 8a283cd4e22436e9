// Why a row is on a device, or why not; and what a device, or the devices of a user, should hold.
import { html, useState } from "../lib.js";
import { useData } from "../api.js";
import { bytes, count, literal, plural } from "../format.js";
import { Ago, AsOf, Badge, Facts, Field, Head, HeldTables, Loaded, RowLink, Tabs } from "../parts.js";
import { go, href, setQuery } from "../router.js";
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

const DEVICES = [
  { name: "name", title: "Device", show: (d) => html`<a href=${href(["devices", d.id, "rows"])}>${d.name}</a>`, class: "name" }, { name: "profile", title: "Profile" }, { name: "user", title: "User", show: (d) => literal(d.user), class: "short" },
  { name: "store", title: "Store", show: (d) => literal(d.store), class: "short" }, { name: "last_seen_ms", title: "Last seen", down: true, show: (d) => html`<${Ago} ms=${d.last_seen_ms} />` },
  { name: "ask", title: "One row", sort: false, show: (d) => html`<a href=${href("explain", { device: d.name })}>Explain</a>` }];

function Devices({ query }) {
  const { device, table, key } = query;
  const row = `${device}/${table}/${key}`; // The answer about another row does not stay until this one's comes.
  return html`<${Ask} key=${row} query=${query} />
    ${device && table && key ? html`<${Answer} key=${row} query=${query} />` : html`<${Table} path="devices" caption="Whose eyes?" sort="name" query=${device ? { ...query, q: device } : query} columns=${DEVICES} />`}`;
}

const viewAs = ({ user, store, profile }) => href(["explain", "user"], { user, store, profile });

/** Whom one wants to see with the eyes of and who has no device yet: what a code for one asks, too. */
function Somebody({ names }) {
  const [v, set] = useState({ user: "", store: "", profile: "" });
  const submit = (e) => {
    e.preventDefault();
    go(viewAs({ ...v, profile: v.profile || names[0] }));
  };
  const field = (name, label, hint) => html`<${Field} label=${label}><input name=${name} value=${v[name]} placeholder=${hint} onInput=${(e) => set({ ...v, [name]: e.target.value })} /><//>`;
  return html`<details class="card"><summary>Somebody who has no device yet</summary><form class="filters" onSubmit=${submit}>${field("user", "User’s key", "x'0a0b', 7 or 'ann'")}${field("store", "Store’s key", "likewise")}
    <${Field} label="Profile"><select name="profile" value=${v.profile || names[0]} onChange=${(e) => set({ ...v, profile: e.target.value })}>${names.map((n) => html`<option key=${n} value=${n}>${n}</option>`)}</select><//><button class="primary">View</button></form></details>`;
}

/** A user, or a store, by what its row is called. */
const called = (u, what) => u[`${what}_label`] || literal(u[what]);
const linked = (u, what) => u[what] && (u[`${what}_table`] ? html`<${RowLink} table=${u[`${what}_table`]} rowKey=${u[what]} label=${called(u, what)} />` : literal(u[what]));

/** Of the devices that the user may have, open codes among them. */
function ofUser(u) {
  if (u.limit === null) return u.of_user === null ? null : count(u.of_user);
  const words = `${count(u.of_user)} of ${count(u.limit)}`;
  return u.of_user < u.limit ? words : html`<${Badge} word=${words} tone="warn" />`;
}

function Users({ query }) {
  const scope = useData("scope");
  const names = [...(scope.data ? scope.data.profiles.map((p) => p.name) : []), "full"];
  return html`<${Somebody} names=${names} /><${Table} path="device_users" caption="Whose eyes?" sort="user_label" live=${15000} query=${query} id=${(u) => [u.user, u.store, u.profile].join()} filters=${[{ name: "profile", label: "Profile", options: names }, { name: "silent_days", label: "Days silent", hint: "30.." }]} empty="No device is enrolled yet." columns=${[
    { name: "user_label", title: "User", show: (u) => html`<a href=${viewAs(u)}>${u.user ? called(u, "user") : "nobody"}</a>`, class: "name" }, { name: "store_label", title: "Store", show: (u) => linked(u, "store") },
    { name: "profile", title: "Profile" }, { name: "devices", title: "Devices", right: true, show: (u) => count(u.devices) }, { name: "codes", title: "Open codes", right: true, show: (u) => count(u.codes) },
    { name: "of_user", title: "Of the user", right: true, show: ofUser, help: "All devices of the user with open codes, and how many these may be" },
    { name: "online", title: "Connected", right: true, show: (u) => count(u.online) }, { name: "silent", title: "Silent", right: true, show: (u) => count(u.silent), help: "Not seen for a day" },
    { name: "silent_days", title: "Days silent", right: true, show: (u) => u.silent_days !== null && count(u.silent_days), help: "Since any device of the user was seen" }, { name: "last_seen_ms", title: "Last seen", down: true, show: (u) => html`<${Ago} ms=${u.last_seen_ms} />` }]} />`;
}

function User({ query }) {
  const { user = "", store = "", profile = "" } = query;
  const of = { user, store, profile };
  const holds = useData("holds", of);
  const known = useData("device_users", { "filter.user": user, "filter.store": store, "filter.profile": profile, limit: 1000 });
  const u = (known.data && known.data.items.find((i) => (i.user || "") === user && (i.store || "") === store)) || of;
  const name = user || store ? called(u, user ? "user" : "store") : "nobody";
  return html`<p><a href=${href(["explain", "users"])}>All users</a></p>
    <${Facts} of=${[["User", linked(u, "user") || "nobody"], ["Store", linked(u, "store") || "–"], ["Profile", profile || "–"]]} />
    <${Loaded} from=${holds}>${(d) => html`<p class="headline">${known.data && !u.devices ? html`There is no such device. The first one is to hold ${plural(d.rows, "row")}, about ${bytes(d.bytes)}.` : html`A device of ${name} is to hold ${plural(d.rows, "row")}, about ${bytes(d.bytes)}.`}</p>
      <${HeldTables} items=${d.items} /><${AsOf} asOf=${d.as_of} />`}<//>
    <h2>Devices</h2><p>Each with its rows; and why one is on it, or is not.</p><${Table} path="devices" fixed=${{ "filter.user": user, "filter.store": store, "filter.profile": profile }} caption="Devices" sort="name" search=${false} query=${query} columns=${DEVICES} empty="There is none." />`;
}

export default function Explain({ route }) {
  const tab = route.rest[0] || "devices";
  return html`<${Head} title="View as device or user" />
    <p>What a device should hold, and why a row is on it, or is not.</p>
    <${Tabs} label="Whose eyes" now=${tab === "user" ? "users" : tab} of=${[["devices", "Devices", href("explain")], ["users", "Users", href(["explain", "users"])]]} />
    ${tab === "user" ? html`<${User} query=${route.query} />` : tab === "users" ? html`<${Users} query=${route.query} />` : html`<${Devices} query=${route.query} />`}`;
}
