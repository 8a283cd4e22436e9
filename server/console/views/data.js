// Every table and row: its fields with who wrote each and when, and what it was before.
import { html } from "../lib.js";
import { useData } from "../api.js";
import { bytes, count, literal, plural, value } from "../format.js";
import { AsOf, Author, Badge, Facts, Head, Loaded, Tabs, Time, Value } from "../parts.js";
import { href } from "../router.js";
import { Rows, Table } from "../table.js";
import { Values } from "./change_columns.js";

const MOST = 12;
const FEW = 3;

function Tables({ query }) {
  return html`<${Head} title="Data" /><${Table} path="tables" caption="Tables" sort="name" query=${query} id=${(t) => t.name} columns=${[
    { name: "name", title: "Table", show: (t) => html`<a href=${href(["data", t.name])}>${t.name}</a>`, class: "name" }, { name: "rows", title: "Rows", right: true, show: (t) => count(t.rows) },
    { name: "bytes", title: "Values, about", right: true, show: (t) => bytes(t.bytes) },
    { name: "columns", title: "Columns", right: true }, { name: "mode", title: "Mode", show: (t) => html`<${Badge} word=${t.mode} tone="plain" />` }, { name: "wins", title: "Wins", help: "Between a deletion and a concurrent update" }]} />`;
}

function TableRows({ table, query }) {
  const columns = useData(`tables/${encodeURIComponent(table)}/rows`, { limit: 1 });
  const first = columns.data && columns.data.items[0];
  const names = first ? Object.keys(first.values) : [];
  return html`<${Head} title=${table} crumbs=${[["Data", href("data")]]}><a class="button" href=${href("changes", { table })}>Changes</a><//>
    <${Table} path=${`tables/${encodeURIComponent(table)}/rows`} caption=${`Rows of ${table}`} query=${query} id=${(r) => r.key} filters=${names.slice(0, 3).map((n) => ({ name: n, label: n }))}
      columns=${[{ name: "label", title: "Row", sort: false, show: (r) => html`<a href=${href(["data", table, r.key])} title=${r.key}>${r.label || html`<code>${r.key}</code>`}</a>`, class: "name" },
        ...names.slice(0, MOST).map((n) => ({ name: n, title: n, show: (r) => html`<${Value} of=${r.values[n]} />`, class: "value" })),
        { name: "device", title: "Changed last by", sort: false, show: (r) => html`<${Author} name=${r.device} id=${r.device_id} />`, class: "who" }, { name: "made_ms", title: "Made", sort: false, show: (r) => html`<${Time} ms=${r.made_ms} />` },
        { name: "seq", title: "Commit", right: true, sort: false, show: (r) => String(r.seq) }]} />`;
}

function Fields({ fields, table, rowKey }) {
  return html`<${Rows} caption="Fields, and who wrote each" rows=${fields} id=${(f) => f.column} columns=${[{ name: "column", title: "Column", show: (f) => html`<a href=${href(["data", table, rowKey, "history"], { column: f.column })}>${f.column}</a>` },
    { name: "value", title: "Value", show: (f) => value(f.value), class: "value" }, { name: "device", title: "Written by", show: (f) => html`<${Author} name=${f.device} id=${f.device_id} user=${f.user} />`, class: "who" },
    { name: "made_ms", title: "Made", show: (f) => html`<${Time} ms=${f.made_ms} />` }, { name: "at_ms", title: "Arrived", show: (f) => html`<${Time} ms=${f.at_ms} />` }, { name: "seq", title: "Commit", right: true, show: (f) => String(f.seq) },
    { name: "rule", title: "Decided by" }]} />`;
}

/** The first of them by name, and how many more there are. */
const Holders = ({ of, n }) => (n === 0 ? "none" : html`<details open=${n <= FEW}><summary>${count(n)}</summary><ul>${of.map((h) => html`<li key=${h.id}><a href=${href(["devices", h.id])}>${h.name}</a></li>`)}${
  n > of.length && html`<li class="faint">and ${count(n - of.length)} more</li>`}</ul></details>`);

function Now({ table, from }) {
  return html`<${Loaded} from=${from}>${(d) => html`
    ${!d.exists && html`<p class="trouble">This row is not there.${d.deleted && html` It was deleted by <${Author} name=${d.deleted.device} id=${d.deleted.device_id} />, <${Time} ms=${d.deleted.made_ms} />.`}</p>`}
    <${Facts} of=${[["Key", html`<code>${d.key}</code>`], ["Devices that are to hold it", html`<${Holders} of=${d.holders} n=${d.devices} />`], ["Conflicts", d.conflicts ? html`<a href=${href("conflicts", { "filter.table": table, "filter.key": d.key })}>${count(d.conflicts)}</a>` : "none"],
      ["Lies in", d.buckets.length ? html`<ul class="codes">${d.buckets.map((b) => html`<li key=${b}><code>${b}</code></li>`)}</ul>` : "no bucket"], ["Why is it on a device?", html`<a href=${href("explain", { table, key: d.key })}>Explain</a>`]]} />
    <${Fields} fields=${d.fields} table=${table} rowKey=${d.key} /><${AsOf} asOf=${d.as_of} />`}<//>`;
}

/** What an entry of the history decided between concurrent writes. */
const Decided = ({ of }) => html`<ul>${of.map((c) => html`<li key=${c.id}><a href=${href(["conflicts", c.id])}>${c.column || "the row"}</a>: ${c.rule} kept ${literal(c.kept)} of ${c.kept_device}; lost ${literal(c.lost)} of ${c.lost_device}</li>`)}</ul>`;

const OPS = [["insert", "insert"], ["update", "update"], ["delete", "delete"], ["none", "nothing stayed"]];

function History({ table, rowKey, query }) {
  return html`${query.column && html`<p>Of the field <strong>${query.column}</strong> alone. <a href=${href(["data", table, rowKey, "history"])}>The whole row</a></p>`}
    <${Table} path="history" fixed=${{ table, key: rowKey, column: query.column }} caption="Who wrote it, newest first" query=${query} sort="-seq" id=${(e) => e.seq} empty="The log has nothing of it."
      filters=${[{ name: "device", label: "Who" }, { name: "op", label: "What", options: OPS }]}
      columns=${[{ name: "seq", title: "Commit", right: true, show: (e) => String(e.seq) }, { name: "device", title: "Who", show: (e) => html`<${Author} name=${e.device} id=${e.device_id} user=${e.user} />`, class: "who" },
        { name: "made_ms", title: "Made", down: true, show: (e) => html`<${Time} ms=${e.made_ms} />` }, { name: "at_ms", title: "Arrived", down: true, show: (e) => html`<${Time} ms=${e.at_ms} />` },
        { name: "op", title: "What", show: (e) => html`<${Badge} word=${e.op === "none" ? "nothing stayed" : e.op} tone=${e.op === "delete" ? "bad" : e.op === "insert" ? "good" : "plain"} />` },
        { name: "values", title: "Values", sort: false, show: (e) => html`<${Values} of=${e.values} />`, class: "wide" },
        { name: "conflicts", title: "Decided", sort: false, show: (e) => (e.conflicts.length ? html`<${Decided} of=${e.conflicts} />` : ""), class: "wide" }]}
      after=${(d) => html`${!d.complete && html`<p class="faint">The log does not go back to when it was made.</p>`}<${AsOf} asOf=${d.as_of} />`} />`;
}

/** Headed by what the row is called, where it has a text that names it. */
function Row({ table, rowKey, tab, query }) {
  const past = tab === "history";
  const from = useData(`tables/${encodeURIComponent(table)}/rows/${encodeURIComponent(rowKey)}`);
  const title = (from.data && from.data.label) || `${table} ${rowKey}`;
  const crumbs = [["Data", href("data")], [table, href(["data", table])]];
  return html`<${Head} title=${title} crumbs=${crumbs} /><${Tabs} label="Of this row" now=${tab} of=${[["now", "Now", href(["data", table, rowKey])], ["history", "History", href(["data", table, rowKey, "history"])]]} />
    ${past ? html`<${History} table=${table} rowKey=${rowKey} query=${query} />` : html`<${Now} table=${table} from=${from} />`}`;
}

export default function Data({ route }) {
  const [table, rowKey, tab = "now"] = route.rest;
  if (!table) return html`<${Tables} query=${route.query} />`;
  return rowKey ? html`<${Row} table=${table} rowKey=${rowKey} tab=${tab} query=${route.query} />` : html`<${TableRows} table=${table} query=${route.query} />`;
}
