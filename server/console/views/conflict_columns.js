// A conflict, as a row of a table.
import { html } from "../lib.js";
import { literal } from "../format.js";
import { Author, Badge, RowLink, Time } from "../parts.js";
import { href } from "../router.js";

export const COLUMNS = [
  { name: "at_ms", title: "When", down: true, show: (c) => html`<a href=${href(["conflicts", c.id])}><${Time} ms=${c.at_ms} /></a>` },
  { name: "table", title: "Table" },
  { name: "label", title: "Row", sort: false, show: (c) => html`<${RowLink} table=${c.table} rowKey=${c.key} label=${c.label} />`, class: "name" },
  { name: "column", title: "Column", show: (c) => c.column || "the whole row" },
  { name: "rule", title: "Decided by" },
  { name: "kept", title: "Kept", show: (c) => literal(c.kept), class: "value" },
  { name: "kept_device", title: "Of", show: (c) => html`<${Author} name=${c.kept_device} id=${c.kept_device_id} />`, class: "who" },
  { name: "lost", title: "Lost", show: (c) => literal(c.lost), class: "value lost" },
  { name: "lost_device", title: "Of", show: (c) => html`<${Author} name=${c.lost_device} id=${c.lost_device_id} />`, class: "who" },
  { name: "state", title: "State", show: (c) => html`<${Badge} word=${c.state} tone=${c.state === "open" ? "warn" : "good"} />` },
];
