// The one table: rows of a list of the API, sorted, filtered and paged by the server. All of that stands in the address.
import { html, useEffect, useState } from "./lib.js";
import { address, save, useData } from "./api.js";
import { count, shortTime } from "./format.js";
import { AsOf, Trouble, useTick } from "./parts.js";
import { here, href, setQuery } from "./router.js";

const LIMIT = 50;

/** What of the address is the list's: with a `name` (more than one table in a view) each of its arguments begins with it. */
function argumentsOf(query, name) {
  const own = {};
  for (const [k, v] of Object.entries(query)) {
    const short = name ? (k.startsWith(`${name}.`) ? k.slice(name.length + 1) : "") : k;
    if (["sort", "q", "after"].includes(short) || short.startsWith("filter.")) own[short] = v;
  }
  return own;
}

function Sort({ column, sort, change }) {
  const now = sort === column.name ? "ascending" : sort === `-${column.name}` ? "descending" : "none";
  if (column.sort === false) return html`<th scope="col" class=${`${column.right ? "right" : ""} ${column.class || ""}`} title=${column.help}>${column.title}</th>`;
  const next = now === "none" ? (column.right || column.down ? `-${column.name}` : column.name) : now === "ascending" ? `-${column.name}` : column.name;
  return html`<th scope="col" aria-sort=${now} class=${column.right ? "right" : ""}>
    <button type="button" class="sort" title=${column.help} onClick=${() => change({ sort: next, after: "" })}>${column.title}<span aria-hidden="true">${
      now === "ascending" ? " ▲" : now === "descending" ? " ▼" : ""}</span></button></th>`;
}

function Filter({ filter, value, change }) {
  const set = (v) => change({ [`filter.${filter.name}`]: v, after: "" });
  const [typed, type] = useState(value || "");
  useEffect(() => type(value || ""), [value]);
  if (filter.options) {
    return html`<label class="field"><span>${filter.label}</span><select value=${value || ""} onChange=${(e) => set(e.target.value)}>
      <option value="">All</option>${filter.options.map((o) => {
        const [v, words] = Array.isArray(o) ? o : [o, o];
        return html`<option key=${v} value=${v} selected=${v === value}>${words}</option>`;
      })}</select></label>`;
  }
  return html`<label class="field"><span>${filter.label}</span><input value=${typed} placeholder=${filter.hint || ""} onInput=${(e) => type(e.target.value)}
    onChange=${(e) => set(e.target.value)} /></label>`;
}

/** How many there are of each value of a column, in all pages; each is a filter. */
function Groups({ column, counts, chosen, change }) {
  const name = `filter.${column.name}`;
  const press = (on, value) => change({ [name]: on ? "" : value, after: "" });
  return html`<div class="groups" role="group" aria-label=${`By ${column.label}`}>${counts.filter((c) => c.value !== null && c.value !== "").map((c) => {
    const on = String(c.value) === chosen;
    return html`<button key=${c.value} type="button" aria-pressed=${on} onClick=${() => press(on, String(c.value))}>${column.show ? column.show(c.value) : c.value}<span class="count">${count(c.count)}</span></button>`;
  })}</div>`;
}

/** Asks when one stops typing. */
function Search({ value, change }) {
  const [typed, type] = useState(value || "");
  useEffect(() => type(value || ""), [value]);
  useEffect(() => {
    if (typed === (value || "")) return undefined;
    const timer = setTimeout(() => change({ q: typed, after: "" }, true), 300);
    return () => clearTimeout(timer);
  }, [typed]);
  return html`<label class="field search"><span>Search</span><input type="search" value=${typed} onInput=${(e) => type(e.target.value)} /></label>`;
}

/** The list as a file; `told` gets what kept it from being one. */
function Csv({ to, name, told }) {
  const [busy, setBusy] = useState(false);
  const click = async (e) => {
    e.preventDefault();
    if (busy) return;
    setBusy(true);
    told(await save(to, name).then(() => null, (problem) => problem));
    setBusy(false);
  };
  return html`<a class="button" href=${to} download=${name} aria-busy=${busy} onClick=${click}>CSV</a>`;
}

/** Filters of the address that have no field of their own: they came with a link. Each says what it asks for, and can be taken out. */
function Others({ columns, fields, own, change }) {
  const others = Object.entries(own).filter(([k, v]) => v !== "" && k.startsWith("filter.") && !fields.includes(k.slice(7)));
  const word = (name) => (name === "id" ? "no." : ((columns.find((c) => c.name === name) || {}).title || name.replaceAll("_", " ")).toLowerCase());
  const said = (name, v) => (name.endsWith("_ms") && /^\d+$/.test(v) ? shortTime(v) : v);
  return others.length > 0 && html`<p class="others">Only what has ${others.map(([k, v]) => html`<button key=${k} type="button" title="Without this filter" onClick=${() => change({ [k]: "", after: "" })}>${word(k.slice(7))} ${
    said(k, v)}<span aria-hidden="true">✕</span></button>`)}</p>`;
}

function Cell({ column, row, to }) {
  const shown = column.show ? column.show(row) : row[column.name];
  return html`<td class=${`${column.right ? "right" : ""} ${column.class || ""}`} data-title=${column.title}>${
    shown === null || shown === undefined || shown === "" ? html`<span class="none">–</span>` : to ? html`<a class="itself" href=${to} title="This row alone">${shown}</a>` : shown}</td>`;
}

function Row({ row, columns, picked, pick, id, name, link, to }) {
  return html`<tr aria-selected=${pick ? picked : null}>
    ${pick && html`<td class="pick"><input type="checkbox" checked=${picked} aria-label=${`Select ${name(row)}`} onChange=${() => pick(id)} /></td>`}
    ${columns.map((c) => html`<${Cell} key=${c.name} column=${c} row=${row} to=${c.name === link && to(row)} />`)}</tr>`;
}

/**
 * path: of the list; fixed: arguments that are not the reader's; columns: {name, title, show(row), right, sort: false, down, help, class}; filters: {name, label,
 * options}; groups: {name, label, show}, a column of which the values are counted above the list; sort: at first; live: milliseconds between two looks; bulk: what to draw for the rows that are picked, bulk(rows, done), done() to be called when it is; tools: beside the search;
 * link: the column whose cell leads to the row alone, by the columns that by(row) gives; id(row), named(row); query: of the route; name: see argumentsOf; empty: what to say where there is nothing.
 */
export function Table({ path, fixed = {}, columns, filters = [], groups, sort = "", live = 0, bulk, tools, link, by = (r) => ({ id: r.id }), id = (r) => r.id, named = (r) => r.name || id(r), query, name = "",
  empty = "There is nothing here.", caption, search = true, after: below }) {
  const own = argumentsOf(query, name);
  const now = { sort, ...own };
  const asked = { limit: LIMIT, ...now, ...fixed, ...(groups ? { counts: groups.name } : {}) };
  const from = useData(path, asked, live && !own.after ? live : 0);
  const [picked, setPicked] = useState(new Set());
  const [unsaved, setUnsaved] = useState(null);
  useTick(10000);
  const change = (changes, quiet) => setQuery(name ? Object.fromEntries(Object.entries(changes).map(([k, v]) => [`${name}.${k}`, v])) : changes, quiet);
  const prefix = name ? `${name}.` : "";
  const itself = (row) => {
    const { view, rest, query: all } = here();
    const which = Object.entries(by(row));
    const others = Object.fromEntries(Object.entries(all).filter(([k]) => !(k.startsWith(prefix) && k.slice(prefix.length) in own)));
    return which.some(([, v]) => v === null) ? null : href([view, ...rest], { ...others, ...Object.fromEntries(which.map(([k, v]) => [`${prefix}filter.${k}`, String(v)])) });
  };
  const items = from.data ? from.data.items : [];
  const chosen = items.filter((r) => picked.has(id(r)));
  const toggle = (k) => setPicked((s) => { const n = new Set(s); if (!n.delete(k)) n.add(k); return n; });
  const filtered = Object.keys(own).some((k) => k === "q" || k.startsWith("filter."));
  const total = from.data ? from.data.total : null;
  const bar = search || filters.length > 0 || tools;
  const csv = html`<${Csv} to=${address(path, { ...now, ...fixed, after: "", format: "csv" })} name=${`${path.split("?")[0].replaceAll("/", "-")}.csv`} told=${setUnsaved} />`;

  return html`<section class="list" aria-busy=${from.loading} aria-label=${caption}>
    ${bar && html`<div class="filters" role="search">
      ${search && html`<${Search} value=${own.q} change=${change} />`}
      ${filters.map((f) => html`<${Filter} key=${f.name} filter=${f} value=${own[`filter.${f.name}`]} change=${change} />`)}
      ${filtered && html`<button type="button" onClick=${() => change(Object.fromEntries(Object.keys(own).filter((k) => k !== "sort").map((k) => [k, ""])))}>Clear</button>`}
      <span class="grow"></span>
      ${csv}${tools}
    </div>`}
    <${Others} columns=${columns} fields=${[...filters.map((f) => f.name), ...(groups ? [groups.name] : [])]} own=${own} change=${change} />
    ${groups && from.data && from.data.counts && from.data.counts.length > 0 && html`<${Groups} column=${groups} counts=${from.data.counts} chosen=${own[`filter.${groups.name}`]} change=${change} />`}
    <${Trouble} problem=${from.problem} again=${from.reload} /><${Trouble} problem=${unsaved} />
    ${bulk && chosen.length > 0 && html`<div class="bulk" role="region" aria-label="Selected rows"><strong>${chosen.length} selected</strong>${bulk(chosen, () => setPicked(new Set()))}<button type="button" onClick=${() => setPicked(new Set())}>Select none</button></div>`}
    <div class="scroll" tabindex="0" role="region" aria-label=${`Table: ${caption}`}><table>
      <caption>${caption}</caption>
      <thead><tr>
        ${bulk && html`<th class="pick"><input type="checkbox" aria-label="Select all on this page" checked=${items.length > 0 && chosen.length === items.length}
          onChange=${() => setPicked(chosen.length === items.length ? new Set() : new Set(items.map(id)))} /></th>`}
        ${columns.map((c) => html`<${Sort} key=${c.name} column=${c} sort=${now.sort} change=${change} />`)}</tr></thead>
      <tbody>${items.map((r) => html`<${Row} key=${id(r)} row=${r} columns=${columns} picked=${picked.has(id(r))} pick=${bulk ? toggle : null} id=${id(r)} name=${named} link=${link} to=${itself} />`)}</tbody>
    </table></div>
    ${from.data && items.length === 0 && html`<p class="empty">${filtered ? "Nothing fits the filters." : empty}</p>`}
    ${!from.data && !from.problem && html`<p class="waiting" role="status">Loading…</p>`}
    ${from.data && html`<div class="below">
      <span>${total === null ? count(items.length) : own.after || from.data.next ? `${count(items.length)} of ${count(total)}` : count(total)} ${total === 1 ? "row" : "rows"}</span>
      ${own.after && html`<button type="button" onClick=${() => change({ after: "" })}>First page</button>`}
      ${from.data.next && html`<button type="button" onClick=${() => change({ after: from.data.next })}>Next page</button>`}
      ${!bar && csv}<span class="grow"></span>${!below && html`<${AsOf} asOf=${from.data.as_of} />`}</div>`}
    ${below && from.data && below(from.data)}
  </section>`;
}

/** Rows that are there already, as a plain table: columns as above. */
export function Rows({ rows, columns, caption, id = (_, i) => i }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${`Table: ${caption}`}><table><caption>${caption}</caption>
    <thead><tr>${columns.map((c) => html`<th key=${c.name} scope="col" class=${c.right ? "right" : ""}>${c.title}</th>`)}</tr></thead>
    <tbody>${rows.map((r, i) => html`<tr key=${id(r, i)}>${columns.map((c) => html`<${Cell} key=${c.name} column=${c} row=${r} />`)}</tr>`)}</tbody></table></div>
    ${rows.length === 0 && html`<p class="empty">There is nothing here.</p>`}`;
}
