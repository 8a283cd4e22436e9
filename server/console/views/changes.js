// The feed of what was committed, newest first.
import { html, useState } from "../lib.js";
import { Field, Head } from "../parts.js";
import { setQuery } from "../router.js";
import { Table } from "../table.js";
import { COLUMNS } from "./change_columns.js";

function Narrow({ query }) {
  const [v, set] = useState({ table: query.table || "", key: query.key || "", device: query.device || "" });
  const submit = (e) => {
    e.preventDefault();
    setQuery({ ...v, after: "" });
  };
  return html`<form class="filters" onSubmit=${submit}>
    ${[["table", "Table", "contact"], ["key", "Row's key", "x'0a0b'"], ["device", "Device", "its name"]].map(([name, label, hint]) => html`<${Field} key=${name} label=${label}>
      <input value=${v[name]} placeholder=${hint} onInput=${(e) => set({ ...v, [name]: e.target.value })} /><//>`)}
    <button class="primary">Show</button></form>`;
}

export default function Changes({ route }) {
  const { table, key, device } = route.query;
  const live = route.query.live !== "no";
  return html`<${Head} title="Changes"><button type="button" aria-pressed=${live} onClick=${() => setQuery({ live: live ? "no" : "" })}>${live ? "Following" : "Follow"}</button><//>
    <${Narrow} key=${`${table}/${key}/${device}`} query=${route.query} />
    <${Table} path="changes" fixed=${{ table, key, device }} caption="What was committed, newest first" columns=${COLUMNS} search=${false} live=${live ? 3000 : 0} query=${route.query} />`;
}
