// Transactions of devices that were refused: why, what they wanted, and making them good.
import { html } from "../lib.js";
import { command, useData } from "../api.js";
import { confirm, each } from "../dialog.js";
import { count, keyLiteral, value } from "../format.js";
import { AsOf, Author, Badge, Facts, Head, Loaded, RowLink, Time, useMay } from "../parts.js";
import { href } from "../router.js";
import { Rows, Table } from "../table.js";
import { COLUMNS } from "./refusal_columns.js";

// The id says which of several is meant: a name may have been given again.
const named = (r) => ({ device: r.device, number: r.number, id: r.id });

function retry(r) {
  confirm({
    title: `Retry ${r.device}, number ${r.number}`, verb: "Retry",
    words: "Its changes are made here, as the server's own, under the rules of today, and reach every device that holds the rows. If they are refused again nothing changes. The device is told that it is settled.",
    run: () => command("rejected.retry", named(r)), said: "Retried: its changes are made.",
  });
}

function discard(list, then) {
  confirm({
    title: list.length === 1 ? `Discard ${list[0].device}, number ${list[0].number}` : `Discard ${list.length} refused transactions`, verb: "Discard", danger: true,
    words: "What was wanted is not done. The device is told, and takes it off its list.",
    ...each(list, (r) => command("rejected.discard", named(r)), (r) => `${r.device}, number ${r.number}`), said: "Discarded.", then,
  });
}

const discardable = (list, done) => list.length > 0 && html`<button type="button" class="danger" onClick=${() => discard(list, done)}>Discard</button>`;

const json = (of) => JSON.stringify(of, (_, v) => (typeof v === "bigint" ? String(v) : v), 2);

/** The values that may be edited, as JSON: what the command takes as its edits. */
function edit(r, changes) {
  const text = json(changes.filter((c) => c.op === "insert" || c.op === "update").map((c) => ({ table: c.table, key: c.key, values: c.wanted })));
  confirm({
    title: `Edit and retry ${r.device}, number ${r.number}`, verb: "Retry with these values",
    words: "Change the values that were refused. The changes are then made here, as the server's own, and reach every device that holds the rows.",
    fields: [{ name: "edits", label: "Changes, as JSON", rows: 14, value: text }],
    run: ({ edits }) => command("rejected.retry", { ...named(r), edits: JSON.parse(edits) }), said: "Retried with your values.",
  });
}

const FILTERS = [
  { name: "state", label: "State", options: ["open", "retried", "discarded"] }, { name: "rule", label: "Rule", hint: "check" }, { name: "device", label: "Device" }, { name: "table", label: "Table" },
];

function List({ route }) {
  const manager = useMay("manager");
  return html`<${Head} title="Refused changes" />
    <${Table} path="refusals" caption="Transactions that were refused" columns=${COLUMNS} filters=${FILTERS} groups=${{ name: "code", label: "code" }} sort="-at_ms" live=${10000} query=${route.query} named=${(r) => `${r.device} ${r.number}`}
      empty="Nothing was ever refused." bulk=${manager ? (rows, done) => discardable(rows.filter((r) => r.state === "open"), done) : null} />`;
}

function Change({ change }) {
  const columns = [...new Set([...Object.keys(change.wanted || {}), ...Object.keys(change.server || {})])];
  const key = keyLiteral(change.key);
  return html`<section class="card"><h2><${Badge} word=${change.op} tone="plain" /> <${RowLink} table=${change.table} rowKey=${key} label=${`${change.table} ${key}`} /></h2>
    <${Rows} caption="Wanted, and what stands here" id=${(c) => c} rows=${columns} columns=${[
      { name: "column", title: "Column", show: (c) => c },
      { name: "wanted", title: "Wanted", show: (c) => (change.wanted && c in change.wanted ? value(change.wanted[c]) : ""), class: "value" },
      { name: "server", title: "Here now", show: (c) => (change.server && c in change.server ? value(change.server[c]) : ""), class: "value" }]} />
    ${!change.server && html`<p class="faint">There is no such row here.</p>`}</section>`;
}

function One({ id }) {
  const from = useData(`refusals/${encodeURIComponent(id)}`);
  const manager = useMay("manager");
  return html`<${Loaded} from=${from}>${(d) => {
    const r = d.refusal;
    return html`<${Head} title=${`${r.device}, number ${r.number}`} crumbs=${[["Refused changes", href("refusals")]]}>${manager && r.state === "open" && html`
        <button type="button" class="primary" onClick=${() => retry(r)}>Retry</button><button type="button" onClick=${() => edit(r, d.changes)}>Edit and retry</button>
        <button type="button" class="danger" onClick=${() => discard([r])}>Discard</button>`}<//>
      <p class="trouble"><${Badge} word=${r.code} tone="warn" /> ${r.message}</p>
      <${Facts} of=${[["Device", html`<${Author} name=${r.device} id=${r.device_id} user=${r.user} />`], ["When", html`<${Time} ms=${r.at_ms} />`],
        ["Row", html`<${RowLink} table=${r.table} rowKey=${r.key} label=${r.label} />`], ["Rule", r.rule || "–"],
        ["State", html`<${Badge} word=${r.state} tone=${r.state === "open" ? "warn" : "good"} /> ${r.resolved_ms && html`<${Time} ms=${r.resolved_ms} />`}`],
        ["Parked with it", count(r.dependants)], ["Parked because of", r.depends ? `number ${r.depends}` : undefined], ["Knew commits up to", String(d.base)]]} />
      ${d.changes.map((c, i) => html`<${Change} key=${i} change=${c} />`)}
      <details class="card"><summary>As JSON</summary><pre tabindex="0">${json(d.changes)}</pre></details>
      ${d.more && html`<p>It has more than 1,000 changes; these are the first.</p>`}<${AsOf} asOf=${d.as_of} />`;
  }}<//>`;
}

export default function Refusals({ route }) {
  return route.rest.length ? html`<${One} id=${route.rest[0]} />` : html`<${List} route=${route} />`;
}
