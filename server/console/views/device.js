// One device: how it stands, its connections, what it should hold, and what it wrote.
import { html } from "../lib.js";
import { useData } from "../api.js";
import { Chart } from "../chart.js";
import { bytes, count, duration, literal, plural } from "../format.js";
import { Ago, AsOf, AtLeast, Badge, daysLeft, Facts, Head, HeldTables, lag, Loaded, storageUsed, Tabs, Time, useMay, useTick } from "../parts.js";
import { go, href } from "../router.js";
import { Table } from "../table.js";
import { COLUMNS as CHANGES } from "./change_columns.js";
import { COLUMNS as CONFLICTS } from "./conflict_columns.js";
import { act, allowed, reassign, rename } from "./device_actions.js";
import { COLUMNS as REFUSALS } from "./refusal_columns.js";

const LIVE_MS = 10000;
const but = (columns, ...names) => columns.filter((c) => !names.includes(c.name));

export const SYNCS = [
  { name: "begun_ms", title: "Began", down: true, show: (s) => html`<${Time} ms=${s.begun_ms} />` },
  { name: "ms", title: "Took", right: true, show: (s) => duration(s.ms) },
  { name: "end", title: "End", show: (s) => (s.ended_ms === null ? html`<${Badge} word="open" tone="good" />` : s.end ? html`<${Badge} word=${s.end} tone="warn" /> ${s.end_text}` : "it went"), class: "value" },
  { name: "pushed", title: "Pushed", right: true, show: (s) => count(s.pushed) },
  { name: "pulled", title: "Pages", right: true, show: (s) => count(s.pulled) },
  { name: "received_bytes", title: "Received", right: true, show: (s) => bytes(s.received_bytes) },
  { name: "sent_bytes", title: "Sent", right: true, show: (s) => bytes(s.sent_bytes) },
  { name: "clock_offset_ms", title: "Clock", right: true, show: (s) => duration(s.clock_offset_ms) },
  { name: "software", title: "Software" },
  { name: "schema_epoch", title: "Schema", right: true },
  { name: "peer", title: "Address" },
];

/** Each connection as a point: when it began, how long it took, and how far the device's clock was off. */
function Timeline({ id }) {
  const from = useData(`devices/${id}/syncs`, { limit: 500, sort: "-begun_ms" }, 15000);
  return html`<${Loaded} from=${from}>${({ items, as_of }) => {
    const rows = [...items].reverse();
    const range = rows.length ? [rows[0].begun_ms - 60000, Math.max(rows.at(-1).begun_ms, as_of.at_ms) + 60000] : undefined; // A single one has no span of its own.
    const of = (bad) => rows.map((s) => (Boolean(s.end) === bad ? s.ms : null));
    const x = rows.map((s) => s.begun_ms);
    return html`<div class="charts"><${Chart} title="Connections" about="When each began, and how long it took" x=${x} range=${range} series=${[
      { name: "syncs", label: "went well", values: of(false), format: duration, unit: "ms", points: true, colour: 0 },
      { name: "failed", label: "ended by an error", values: of(true), format: duration, unit: "ms", points: true, colour: 1 }]} />
      <${Chart} title="Clock" about="How far it was ahead of the server's; below zero: behind" x=${x} range=${range} series=${[
      { name: "clock", label: "ahead", values: rows.map((s) => s.clock_offset_ms), format: duration, unit: "ms", points: true, colour: 2 }]} /></div>`;
  }}<//>`;
}

/** With what it was here, by the connections that are kept. */
function Versions({ of }) {
  return html`<section class="card"><h2>Versions</h2>${of.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Versions"><table class="versions"><caption>Software and schema that it connected with, and since when</caption>
    <thead><tr><th scope="col">Since</th><th scope="col">Software</th><th scope="col" class="right">Schema</th></tr></thead>
    <tbody>${of.map((v) => html`<tr key=${`${v.schema_epoch} ${v.software}`}><td><${Time} ms=${v.since_ms} /></td><td>${v.software || "–"}</td><td class="right">${v.schema_epoch}</td></tr>`)}</tbody></table></div>` :
    html`<p class="empty">It has told none yet.</p>`}</section>`;
}

/** What came out when the device compared all its rows, and whether it is to do so again. */
function Compared({ d, found }) {
  const where = (f) => html`<li key=${f.table + f.keys}><a href=${href(["devices", d.id, "rows"], { table: f.table })}><code>${f.table}</code></a> ${f.keys || "all rows"}: ${plural(f.device_rows, "row")} there</li>`;
  return html`${d.compared_ms === null ? "never" : html`<${Ago} ms=${d.compared_ms} />: ${plural(d.compared_rows, "row")}, ${d.compared_differed
    ? html`<${Badge} word=${`${count(d.compared_differed)} of ${plural(d.compared_ranges, "range")} differed`} tone="warn" />, given again` : "all the same"}`}
    ${d.compared_passed > 0 && html`, ${count(d.compared_passed)} passed over`}
    ${d.verify_ms !== null && html`, <${Badge} word="ordered" tone="plain" /> <${Ago} ms=${d.verify_ms} />`}
    ${found.length > 0 && html`<details><summary>where they differed</summary><ul class="codes">${found.map(where)}</ul></details>`}`;
}

/** What has no result yet; in which tables, as it told when it connected last, which of what was answered since says too much. */
function Waiting({ d, tables, told_ms }) {
  return html`${plural(d.pending, "transaction")}${d.pending_since_ms && html`, the oldest for <${AtLeast} since=${d.pending_since_ms} />`}
    ${d.pending > 0 && (tables ? html`<ul class="codes">${tables.map((t) => html`<li key=${t.table}><code>${t.table}</code> ${plural(t.changes, "change")}</li>`)}</ul>
      as told <${Ago} ms=${told_ms} />` : ", it did not tell in which tables")}`;
}

function State({ d, detail }) {
  const { data: held } = useData(`devices/${d.id}/rows`);
  return html`<${Facts} of=${[
    ["Health", html`<${Badge} word=${d.health} /> ${d.online && html`<${Badge} word="online" />`}`],
    ["State", html`<${Badge} word=${d.state} /> since ${html`<${Time} ms=${d.state_ms} />`}`],
    ["Last seen", html`<${Ago} ms=${d.last_seen_ms} />`], ["Last push", html`<${Ago} ms=${d.last_push_ms} />`], ["Last pull", html`<${Ago} ms=${d.last_pull_ms} />`],
    ["Behind", `${plural(d.lag_seq, "commit")}, ${lag(d.lag_ms)}`],
    ["Waiting on it", html`<${Waiting} d=${d} tables=${detail.pending_tables} told_ms=${detail.pending_told_ms} />`],
    ["Refused", html`<a href=${href(["devices", d.id, "refusals"])}>${plural(d.refusals_open, "open one", "open ones")}</a>`],
    ["Conflicts in 7 days", html`<a href=${href(["devices", d.id, "conflicts"])}>${count(d.conflicts_7d)}</a>`],
    ["Last error", d.last_error ? html`${d.last_error}, <${Ago} ms=${d.last_error_ms} />` : "none"],
    ["Must come before", html`<${Time} ms=${d.fenced_ms} />`], ["Offline days left", daysLeft(d) ?? "–"],
    ["Profile", d.profile], ["User", literal(d.user)], ["Store", literal(d.store)],
    ["Clock", `${duration(d.clock_offset_ms)} off${d.clamped ? `, ${plural(d.clamped, "stamp")} cut` : ""}`],
    ["Software", d.software || "–"], ["Platform", d.platform || "–"], ["Schema", String(d.schema_epoch)],
    ["Snapshot", d.resnapshot ? "ordered, not fetched yet" : "none ordered"], ["Enrolled", html`<${Time} ms=${d.enrolled_ms} />`],
    ["Compared last", html`<${Compared} d=${d} found=${detail.compared_found} />`],
    ["Times its file was put back or copied", count(d.incarnations - 1)],
    ["Rows that it is to hold", held ? html`<a href=${href(["devices", d.id, "rows"])}>${count(held.rows)}</a>, about ${bytes(held.bytes)}` : "…"],
    ["Storage that its files take", d.held_bytes === null ? "not told" : html`${bytes(d.held_bytes)} of the ${bytes(d.room_bytes)} that there is room for, ${storageUsed(d)}`],
    ["Rules in force", d.unsettled ? html`<${Badge} word="not heard of" tone="warn" />` : d.profile === "full" ? "it holds everything" : "heard of"],
    ["Buckets", detail.view === 0 ? "everything" : html`<details><summary>${plural(detail.buckets.length, "bucket")}</summary><ul class="codes">${detail.buckets.map((b) => html`<li key=${b}><code>${b}</code></li>`)}</ul></details>`],
    ["Not sent", Object.keys(detail.masked).length ? Object.entries(detail.masked).map(([t, c]) => `${t}: ${c}`).join("; ") : "no columns"],
    ["Key", html`<code class="long">${d.fingerprint}</code>${d.rotate_key_ms !== null && html` <${Badge} word="new one ordered" tone="plain" /> <${Ago} ms=${d.rotate_key_ms} />`}`],
  ]} />`;
}

function Holds({ id, name }) {
  const from = useData(`devices/${id}/rows`);
  return html`<${Loaded} from=${from}>${(d) => html`<p>${name} is to hold ${plural(d.rows, "row")}, about ${bytes(d.bytes)}. <a href=${href("explain", { device: name })}>Why does it have a row, or not?</a></p>
    <${HeldTables} items=${d.items} to=${(t) => href(["devices", id, "rows"], { table: t.table })} />
    <${AsOf} asOf=${d.as_of} />`}<//>`;
}

function HeldRows({ id, table, name, query }) {
  return html`<p><a href=${href(["devices", id, "rows"])}>All tables</a></p><${Table} path=${`devices/${id}/rows`} fixed=${{ table }} caption=${`Rows of ${table} that ${name} is to hold`} query=${query}
    id=${(r) => r.key} columns=${[
      { name: "label", title: "Row", sort: false, show: (r) => html`<a href=${href(["data", table, r.key])}>${r.label || r.key}</a>` },
      { name: "device", title: "Changed last by", sort: false }, { name: "made_ms", title: "Made", sort: false, show: (r) => html`<${Time} ms=${r.made_ms} />` },
      { name: "why", title: "Why", sort: false, show: (r) => html`<a href=${href("explain", { device: name, table, key: r.key })}>Explain</a>` }]} />`;
}

const EVENTS = [
  { name: "at_ms", title: "When", down: true, show: (e) => html`<${Time} ms=${e.at_ms} />` }, { name: "kind", title: "What", show: (e) => html`<${Badge} word=${e.kind} tone="plain" />` },
  { name: "text", title: "In words", class: "words" }];

function Tab({ tab, d, detail, query }) {
  if (tab === "rows") return query.table ? html`<${HeldRows} id=${d.id} table=${query.table} name=${d.name} query=${query} />` : html`<${Holds} id=${d.id} name=${d.name} />`;
  if (tab === "refusals") return html`<${Table} path="refusals" fixed=${{ "filter.device_id": d.id }} caption="Refused changes" columns=${but(REFUSALS, "device")} sort="-at_ms" live=${LIVE_MS} query=${query} />`;
  if (tab === "conflicts") {
    return html`<${Table} path="conflicts" fixed=${{ "filter.lost_device_id": d.id }} caption="Values of its that lost" columns=${but(CONFLICTS, "lost_device")} sort="-at_ms" live=${LIVE_MS} query=${query} />`;
  }
  if (tab === "changes") return html`<${Table} path="changes" fixed=${{ device: d.name }} caption="Changes that it made" columns=${but(CHANGES, "device")} search=${false} live=${LIVE_MS} query=${query} />`;
  if (tab === "events") return html`<${Table} path="events" fixed=${{ "filter.device_id": d.id }} caption="What happened to it" columns=${EVENTS} link="at_ms" sort="-at_ms" live=${LIVE_MS} query=${query} />`;
  return html`<${State} d=${d} detail=${detail} /><${Timeline} id=${d.id} /><${Versions} of=${detail.versions} />
    <${Table} path=${`devices/${d.id}/syncs`} caption="Connections" columns=${SYNCS} sort="-begun_ms" live=${15000} link="begun_ms" query=${query} search=${false} empty="It has not connected yet."
      id=${(s) => s.id ?? "open"} filters=${[{ name: "end", label: "End", hint: "E_..." }]} />`;
}

export default function Device({ route }) {
  const [id, tab = "state"] = route.rest;
  const from = useData(`devices/${encodeURIComponent(id)}`, {}, LIVE_MS);
  const admin = useMay("admin");
  useTick();
  return html`<${Loaded} from=${from}>${(detail) => {
    const d = detail.device;
    return html`<${Head} title=${d.name} crumbs=${[["Devices", href("devices")]]}>${admin && html`
        <button type="button" onClick=${() => rename(d)}>Rename</button><button type="button" onClick=${() => reassign(d)}>Change profile</button>
        ${allowed([d]).map(([name, a]) => html`<button key=${name} type="button" class=${a.danger ? "danger" : ""} onClick=${() => act(name, [d], a.gone && (() => go(href("devices"))), a.gone)}>${a.verb}</button>`)}`}<//>
      <${Tabs} label="Of this device" now=${tab} of=${[["state", "State"], ["rows", "Rows"], ["refusals", "Refused"], ["conflicts", "Conflicts"], ["changes", "Changes"], ["events", "Events"]].map(([n, w]) => [
        n, w, href(n === "state" ? ["devices", d.id] : ["devices", d.id, n]), n === "refusals" ? d.refusals_open : 0])} />
      <${Tab} tab=${tab} d=${d} detail=${detail} query=${route.query} />`;
  }}<//>`;
}
