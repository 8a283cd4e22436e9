// A refused transaction, as a row of a table.
import { html } from "../lib.js";
import { count } from "../format.js";
import { Author, Badge, RowLink, Time } from "../parts.js";
import { href } from "../router.js";

export const COLUMNS = [
  { name: "at_ms", title: "When", down: true, show: (r) => html`<a href=${href(["refusals", r.id])}><${Time} ms=${r.at_ms} /></a>` },
  { name: "device", title: "Device", show: (r) => html`<${Author} name=${r.device} id=${r.device_id} user=${r.user} />`, class: "who" },
  { name: "number", title: "Number", right: true, show: (r) => String(r.number) },
  { name: "code", title: "Code", show: (r) => html`<${Badge} word=${r.code} tone="warn" />` },
  { name: "message", title: "Why", class: "words" },
  { name: "table", title: "Table" },
  { name: "label", title: "Row", sort: false, show: (r) => html`<${RowLink} table=${r.table} rowKey=${r.key} label=${r.label} />`, class: "name" },
  { name: "dependants", title: "Parked with it", right: true, sort: false, show: (r) => count(r.dependants) },
  { name: "state", title: "State", show: (r) => html`<${Badge} word=${r.state} tone=${r.state === "open" ? "warn" : "good"} />` },
];
