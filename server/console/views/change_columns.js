// A change, as a row of a table.
import { html } from "../lib.js";
import { duration } from "../format.js";
import { Author, Badge, RowLink, Time, Value } from "../parts.js";
import { href } from "../router.js";

/** What was written, a line for each column. */
export function Values({ of }) {
  const all = Object.entries(of || {});
  return html`<ul class="values">${all.slice(0, 12).map(([column, v]) => html`<li key=${column}><span class="faint">${column}</span> <${Value} of=${v} /></li>`)}${all.length > 12 && html`<li class="faint">and ${all.length - 12} more</li>`}</ul>`;
}

/** Where the feed of its row begins with this change: a place in it, as the API's "next", is a commit, a part of it and a change of that. */
const fromHere = (c) => href("changes", { table: c.table, key: c.key, after: `${c.seq}-${0xffffff}-0` });

// The feed has one order.
export const COLUMNS = [
  { name: "seq", title: "Commit", right: true, show: (c) => html`<a class="itself" href=${fromHere(c)} title="This change, and those before it of its row">${String(c.seq)}</a>` },
  { name: "at_ms", title: "Arrived", show: (c) => html`<${Time} ms=${c.at_ms} />` },
  { name: "made_ms", title: "Made", show: (c) => html`<${Time} ms=${c.made_ms} />` },
  { name: "lag_ms", title: "On its way", right: true, show: (c) => duration(c.lag_ms) },
  { name: "device", title: "Who", show: (c) => html`<${Author} name=${c.device} id=${c.device_id} user=${c.user} />`, class: "who" },
  { name: "txn", title: "Number", right: true, show: (c) => (c.txn === null ? null : String(c.txn)), help: "Which of its device's transactions" },
  { name: "table", title: "Table" },
  { name: "op", title: "What", show: (c) => html`<${Badge} word=${c.op} tone=${c.op === "delete" ? "bad" : c.op === "insert" ? "good" : "plain"} />` },
  { name: "key", title: "Row", show: (c) => html`<${RowLink} table=${c.table} rowKey=${c.key} />`, class: "short" },
  { name: "values", title: "Values", show: (c) => html`<${Values} of=${c.values} />`, class: "wide" },
].map((c) => ({ ...c, sort: false }));
