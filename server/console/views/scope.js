// Who may hold and change what: the rules in force, trying others, and rows given for a while.
import { html, useState } from "../lib.js";
import { command, useData } from "../api.js";
import { confirm } from "../dialog.js";
import { bytes, count, literal, plural } from "../format.js";
import { AsOf, Badge, Facts, Field, Head, Loaded, RowLink, Tabs, Time, Trouble, useMay } from "../parts.js";
import { href } from "../router.js";
import { Rows, Table } from "../table.js";
import { Rollout, rollOut } from "./rollout.js";

const LIVE_MS = 10000;
const sum = (o) => Object.values(o || {}).reduce((n, v) => n + v, 0);
const Counts = ({ of }) => html`${count(sum(of))}${sum(of) > 0 && html` <span class="faint">${Object.entries(of).map(([t, n]) => `${t} ${n}`).join(", ")}</span>`}`;

const masks = (p) => p && p.masks.map((m) => `${m.table}: ${m.columns.replaceAll(",", ", ")}`).join("; ");
const writes = (p) => p && html`<details><summary>${plural(p.writes.length, "rule")}</summary><ul>${p.writes.map((w, i) => html`<li key=${i}>${w.table}: ${w.ops}${
  w.columns ? ` of ${w.columns}` : ""}${w.anywhere ? ", anywhere" : ""}</li>`)}</ul></details>`;
const buckets = (p) => p && html`<details><summary>Query</summary><pre tabindex="0">${p.query}</pre></details>`;
const most = (p, one, all, words) => (p[one] === null ? null : html`${words(p[one])}${p[all] > p[one] && html` <span class="faint">to ${words(p[all])}</span>`}`);
const some = (n, filters) => (n ? html`<a href=${href("devices", filters)}>${count(n)}</a>` : 0);

function InForce({ d, query }) {
  const rules = Object.fromEntries(d.profiles.map((p) => [p.name, p]));
  return html`${d.trouble && html`<p class="trouble">${d.trouble}</p>`}${d.rollout && html`<${Rollout} of=${d.rollout} />`}
    <${Facts} of=${[["Version", d.version ? String(d.version) : "none: every device holds everything"], ["File", d.name || "–"], ["Published", html`<${Time} ms=${d.at_ms} />`], ["At commit", String(d.seq)],
      ["Devices that have not heard of it", some(d.unsettled, { "filter.unsettled": 1 })]]} />
    <h2>Profiles</h2><${Table} path="profiles" name="profiles" caption="Profiles" live=${60000} query=${query} search=${false} id=${(p) => p.name} columns=${[
      { name: "name", title: "Profile", show: (p) => html`<a href=${href("devices", { "filter.profile": p.name })}>${p.name}</a>` }, { name: "devices", title: "Devices", right: true, show: (p) => count(p.devices) },
      { name: "unsettled", title: "Not heard of these rules", right: true, show: (p) => some(p.unsettled, { "filter.profile": p.name, "filter.unsettled": 1 }) },
      { name: "rows", title: "Rows, about", right: true, show: (p) => most(p, "rows", "rows_most", count), help: "The mean of some of its devices, to the most of one" },
      { name: "bytes", title: "Values, about", right: true, show: (p) => most(p, "bytes", "bytes_most", bytes), help: "A device's file is larger" },
      { name: "horizon_days", title: "Waited for", right: true, show: (p) => p.horizon_days && plural(p.horizon_days, "day") },
      { name: "masks", title: "Not sent", sort: false, show: (p) => masks(rules[p.name]) || "nothing", class: "wide" },
      { name: "writes", title: "May write", sort: false, show: (p) => writes(rules[p.name]) }, { name: "query", title: "Buckets", sort: false, show: (p) => buckets(rules[p.name]) }]} />
    <h2>Versions</h2><${Table} path="scope_versions" name="versions" caption="Versions" query=${query} id=${(v) => v.version} sort="-version" columns=${[{ name: "version", title: "Version", down: true }, { name: "name", title: "File" },
      { name: "seq", title: "Commit", right: true, show: (v) => String(v.seq) }, { name: "at_ms", title: "Published", down: true, show: (v) => html`<${Time} ms=${v.at_ms} />` }]} />
    ${d.text && html`<details class="card"><summary>The rules</summary><pre tabindex="0">${d.text}</pre></details>`}<${AsOf} asOf=${d.as_of} />`;
}

/** So many of the devices of a dry run are shown at once. */
const TOUCHED = 50;

function DryRun({ report }) {
  const [text, set] = useState("");
  const touched = report.devices.filter((d) => sum(d.gets) || sum(d.loses) || d.masks_change || !d.known);
  const fit = touched.filter((d) => [d.device, d.profile || "everything", literal(d.user)].some((v) => v.toLowerCase().includes(text.toLowerCase())));
  return html`<section class="card" aria-label="What publishing would do"><h2>What publishing would do</h2>
    <p class="headline">${plural(report.moved, "row")} would lie elsewhere; ${count(touched.length)} of ${plural(report.devices.length, "device")} would get or lose rows.</p>
    ${touched.length > TOUCHED && html`<div class="filters"><${Field} label="Device, profile or user"><input type="search" value=${text} onInput=${(e) => set(e.target.value)} /><//></div>`}
    <${Rows} caption="Devices that it would touch" rows=${fit.slice(0, TOUCHED)} id=${(d) => d.device} columns=${[{ name: "device", title: "Device" }, { name: "profile", title: "Profile", show: (d) => d.profile || "everything" }, { name: "user", title: "User", show: (d) => literal(d.user), class: "short" },
      { name: "gets", title: "Gets", show: (d) => html`<${Counts} of=${d.gets} />` }, { name: "loses", title: "Loses", show: (d) => html`<${Counts} of=${d.loses} />` },
      { name: "note", title: "Besides", show: (d) => [d.masks_change && "other columns are kept from it: it begins anew", !d.known && "the rules do not have its profile"].filter(Boolean).join("; ") }]} />
    ${fit.length > TOUCHED && html`<p>The first ${TOUCHED} of ${count(fit.length)}.</p>`}</section>`;
}

function Try({ scope }) {
  const [text, set] = useState(scope.text || "");
  const [name, setName] = useState(scope.name || "scope.sql");
  const [state, setState] = useState({});
  const rules = { name, text };
  async function dryRun(e) {
    e.preventDefault();
    setState({ busy: true });
    try {
      setState({ report: (await command("scope.dry_run", { ...rules, json: true })).report, of: text });
    } catch (problem) {
      setState({ problem });
    }
  }
  const publish = () => confirm({
    title: "Publish these rules", verb: "Publish", danger: true,
    words: html`<p>They take the place of version ${scope.version}. Every row is looked at again; what comes under other rules is sent to the devices that are to have it, and taken from those that are not,
      after their unsent edits were taken in. The server takes no changes meanwhile: some seconds for a hundred thousand rows.</p>
      ${state.report && state.of === text ? html`<p>The dry run of these rules says that ${plural(state.report.moved, "row")} would lie elsewhere.</p>` : html`<p><strong>These rules were not tried in a dry run.</strong></p>`}`,
    run: () => command("scope.publish", rules), said: "Published.",
  });
  return html`<form onSubmit=${dryRun}><${Field} label="Name of the file"><input value=${name} onInput=${(e) => setName(e.target.value)} required /><//>
    <${Field} label="Rules" help="Their language is described in server/scope.h."><textarea class="code" rows="22" spellcheck=${false} value=${text} onInput=${(e) => set(e.target.value)} required></textarea><//>
    <div class="buttons left"><button class="primary" disabled=${state.busy}>${state.busy ? "Trying on a copy of the store…" : "Dry run"}</button><button type="button" onClick=${() => rollOut(rules)}>Roll out…</button><button type="button" class="danger" onClick=${publish}>Publish…</button></div></form>
    <${Trouble} problem=${state.problem} />${state.report && html`<${DryRun} report=${typeof state.report === "string" ? JSON.parse(state.report) : state.report} />`}`;
}

function grant() {
  confirm({
    title: "Give a device a row for a while", verb: "Give",
    words: "The device gets the row, and all that follows it by the rules, until then. It loses them again when the time is over.",
    fields: [{ name: "device", label: "Device" }, { name: "table", label: "Table" }, { name: "key", label: "Row's key", help: "As in SQL: x'0a0b' or 'abc'" },
      { name: "until", label: "Until", type: "datetime-local" }, { name: "reason", label: "Why" }],
    run: ({ until, ...v }) => command("scope.grant", { ...v, until_ms: new Date(until).getTime() }), said: "Given.",
  });
}

function Grants({ query }) {
  const manager = useMay("manager");
  const end = (g) => confirm({ title: "End this grant", words: `${g.device} loses ${g.label || `${g.table} ${g.key}`}, and what follows it, unless the rules give it to the device.`, verb: "End", danger: true,
    run: () => command("scope.revoke", { id: g.id }), said: "Ended." });
  return html`<${Table} path="grants" caption="Rows given for a while" live=${LIVE_MS} link="at_ms" query=${query} sort="until_ms" tools=${manager && html`<button type="button" class="primary" onClick=${grant}>Give a row</button>`}
    columns=${[{ name: "device", title: "Device", show: (g) => html`<a href=${href(["devices", g.device_id])}>${g.device}</a>` }, { name: "table", title: "Table" },
      { name: "label", title: "Row", sort: false, show: (g) => html`<${RowLink} table=${g.table} rowKey=${g.key} label=${g.label} />` }, { name: "until_ms", title: "Until", show: (g) => html`<${Time} ms=${g.until_ms} />` },
      { name: "reason", title: "Why", class: "words" }, { name: "at_ms", title: "Given", show: (g) => html`<${Time} ms=${g.at_ms} />` },
      ...(manager ? [{ name: "end", title: "", sort: false, show: (g) => html`<button type="button" onClick=${() => end(g)}>End</button>` }] : [])]} />`;
}

export default function Scope({ route }) {
  const tab = route.rest[0] || "now";
  const from = useData("scope", {}, tab === "now" ? LIVE_MS : 0); // Rules that somebody types stay as they are.
  const admin = useMay("admin");
  return html`<${Head} title="Scope" /><${Tabs} label="Of scope" now=${tab} of=${[["now", "In force", href("scope")], ...(admin ? [["try", "Try other rules", href(["scope", "try"])]] : []), ["grants", "Grants", href(["scope", "grants"])]]} />
    ${tab === "grants" ? html`<${Grants} query=${route.query} />` : html`<${Loaded} from=${from}>${(d) => (tab !== "try" ? html`<${InForce} d=${d} query=${route.query} />` : d.rollout ? html`<${Rollout} of=${d.rollout} /><p>Others can be tried and published when it is over.</p>` : html`<${Try} scope=${d} />`)}<//>`}`;
}
