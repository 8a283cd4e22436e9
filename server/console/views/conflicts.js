// Values that lost to concurrent writes: what was kept, what was lost, what stood there before, and putting back what was lost.
import { html } from "../lib.js";
import { command, useData } from "../api.js";
import { confirm } from "../dialog.js";
import { literal, plural, value } from "../format.js";
import { AsOf, Author, Badge, Facts, Head, Loaded, RowLink, Time, useMay } from "../parts.js";
import { href } from "../router.js";
import { Table } from "../table.js";
import { COLUMNS } from "./conflict_columns.js";

function accept(conflicts, then) {
  confirm({
    title: conflicts.length === 1 ? "Accept what was kept" : `Accept ${conflicts.length} conflicts`, verb: "Accept",
    words: `Nothing changes in the data: ${conflicts.length === 1 ? "the conflict is" : "these conflicts are"} marked as looked at.`,
    run: () => command("conflict.accept", { ids: conflicts.map((c) => c.id) }), said: "Accepted.", then,
  });
}

const acceptable = (list, done) => list.length > 0 && html`<button type="button" onClick=${() => accept(list, done)}>Accept</button>`;

function restore(c, current) {
  confirm({
    title: "Restore the lost value", verb: "Restore",
    words: html`<p>${c.table}.${c.column} of <strong>${c.label || c.key}</strong> becomes <strong>${literal(c.lost)}</strong>, which ${c.lost_device} had written;
      it is ${current === undefined ? literal(c.kept) : literal(current)} now.</p><p>This is a new change of the server's. It reaches every device that holds the row.</p>`,
    run: () => command("conflict.restore", { id: c.id }), said: "Restored: the change is on its way to the devices.",
  });
}

const FILTERS = [
  { name: "state", label: "State", options: ["open", "accepted", "restored"] }, { name: "table", label: "Table" }, { name: "column", label: "Column" },
  { name: "rule", label: "Decided by", options: ["lww", "group", "max", "min", "counter", "first", "server", "guard", "keep", "strict"] },
  { name: "lost_device", label: "Lost by" }, { name: "kept_device", label: "Kept of" },
];

function List({ route }) {
  const manager = useMay("manager");
  return html`<${Head} title="Conflicts" />
    <${Table} path="conflicts" caption="Values that lost to concurrent writes" columns=${COLUMNS} filters=${FILTERS} sort="-at_ms" live=${10000} query=${route.query} named=${(c) => `conflict ${c.id}`}
      empty="No value was ever lost to another." bulk=${manager ? (rows, done) => acceptable(rows.filter((c) => c.state === "open"), done) : null} />`;
}

function Side({ title, text, who, id, user, made, tone }) {
  return html`<div class=${`side ${tone}`}><h2>${title}</h2><p class="big">${text === "NULL" || text === null ? "nothing" : literal(text)}</p>
    ${who && html`<p><${Author} name=${who} id=${id} user=${user} /></p>`}${made && html`<p class="faint">made <${Time} ms=${made} /></p>`}</div>`;
}

function One({ id }) {
  const from = useData(`conflicts/${encodeURIComponent(id)}`, {}, 10000);
  const manager = useMay("manager");
  return html`<${Loaded} from=${from}>${(d) => {
    const c = d.conflict;
    return html`<${Head} title=${`Conflict in ${c.label || c.key}`} crumbs=${[["Conflicts", href("conflicts")]]}>${manager && c.state === "open" && html`
        <button type="button" onClick=${() => accept([c])}>Accept what was kept</button>
        ${c.column && html`<button type="button" class="primary" onClick=${() => restore(c, d.current)}>Restore the lost value</button>`}`}<//>
      <${Facts} of=${[["Row", html`<${RowLink} table=${c.table} rowKey=${c.key} label=${c.label} /> of ${c.table}`], ["Column", c.column || "the row as a whole"], ["Decided by", c.rule],
        ["Commit", String(c.seq)], ["When", html`<${Time} ms=${c.at_ms} />`], ["State", html`<${Badge} word=${c.state} tone=${c.state === "open" ? "warn" : "good"} /> ${c.resolved_ms && html`<${Time} ms=${c.resolved_ms} />`}`]]} />
      <div class="sides">
        <${Side} title="Before" text=${d.base_known ? d.base : "not known: the log does not go back so far"} tone="plain" />
        <${Side} title="Kept" text=${c.kept} who=${c.kept_device} id=${c.kept_device_id} user=${c.kept_user} made=${c.kept_made_ms} tone="good" />
        <${Side} title="Lost" text=${c.lost} who=${c.lost_device} id=${c.lost_device_id} user=${c.lost_user} made=${c.lost_made_ms} tone="bad" />
        <${Side} title="Now" text=${d.current} who=${d.current_device} made=${d.current_made_ms} tone="plain" />
      </div>
      ${d.values && html`<details class="card"><summary>The row now, ${plural(Object.keys(d.values).length, "column")}</summary><${Facts} of=${Object.entries(d.values).map(([k, v]) => [k, value(v)])} /></details>`}
      <p><a href=${href(["data", c.table, c.key, "history"], c.column ? { column: c.column } : {})}>History of this ${c.column ? "field" : "row"}</a></p><${AsOf} asOf=${d.as_of} />`;
  }}<//>`;
}

export default function Conflicts({ route }) {
  return route.rest.length ? html`<${One} id=${route.rest[0]} />` : html`<${List} route=${route} />`;
}
