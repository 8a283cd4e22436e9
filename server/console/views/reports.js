// The schema's views as reports: those that are drawn, and each as rows. What devices have not sent yet is in none of them, and that is said.
import { html } from "../lib.js";
import { useData } from "../api.js";
import { Chart } from "../chart.js";
import { DASHBOARD } from "../dashboard.js";
import { count, figure, plural } from "../format.js";
import { AsOf, Head, Loaded, Tabs, Trouble, Value } from "../parts.js";
import { href } from "../router.js";
import { Table } from "../table.js";

const MOST = 1000;
// A report reads whole tables.
const LIVE_MS = 60000;

/** Words that a chart is partial, and by how much. */
function Partial({ d }) {
  return html`<${AsOf} asOf=${d.as_of}>; ${d.devices_waiting ? html`<strong>${plural(d.devices_waiting, "device")} ${d.devices_waiting === 1 ? "has" : "have"} ${count(d.changes_waiting)} unsent changes</strong> that are not in it` :
    "no device has unsent changes, as they last said"}${d.devices_silent ? `; what ${plural(d.devices_silent, "silent device")} may have is not known` : ""}.<//>`;
}

/** Rows added up by label, as the dashboard says: [label, value of each series]. */
export function addUp(rows, { label, order, where = () => true, derive = (r) => r, series, top }) {
  const groups = new Map();
  for (const r of rows.filter(where).map(derive)) {
    const name = r[label] === null || r[label] === undefined ? "not said" : String(r[label]);
    const g = groups.get(name) || { name, at: order ? r[order] : r[label], sums: series.map(() => 0), weights: series.map(() => 0) };
    series.forEach(([column, , over], i) => {
      const v = r[column], weight = over ? over(r) : 1;
      if (v === null || v === undefined || !weight) return;
      g.sums[i] += Number(v) * weight;
      g.weights[i] += weight;
    });
    groups.set(name, g);
  }
  const all = [...groups.values()].map((g) => ({ ...g, values: series.map(([, , over], i) => (over ? (g.weights[i] ? Math.round(g.sums[i] / g.weights[i]) : null) : g.sums[i])) }));
  all.sort((a, b) => (top ? b.values[0] - a.values[0] : a.at === null ? 1 : b.at === null ? -1 : a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  return top ? all.slice(0, top) : all;
}

function Drawn({ of }) {
  const from = useData(`reports/${of.view}`, { limit: MOST }, LIVE_MS);
  if (!from.data) return from.problem ? html`<${Trouble} problem=${from.problem} again=${from.reload} />` : html`<p class="waiting" role="status">Loading…</p>`;
  const groups = addUp(from.data.items, of);
  return html`<div data-report=${of.view}><${Chart} title=${of.title} labels=${groups.map((g) => g.name)} about=${from.data.next ? `Of the first ${count(MOST)} rows` : ""}
    series=${of.series.map(([column, words], i) => ({ name: column, label: words, values: groups.map((g) => g.values[i]), format: (v) => figure(column, v), ...(/cents$/.test(column) ? { unit: "cents", axis: (v) => count(v / 100) } : /_ms$/.test(column) ? { unit: "ms" } : {}) }))} />
    <${Partial} d=${from.data} /><p><a href=${href(["reports", of.view])}>All rows</a></p></div>`;
}

function Dashboard() {
  const from = useData("reports", { limit: 1000 });
  return html`<${Loaded} from=${from}>${(d) => {
    const there = new Set(d.items.map((r) => r.name));
    const drawn = DASHBOARD.filter((c) => there.has(c.view));
    return drawn.length ? html`<div class="charts">${drawn.map((c) => html`<${Drawn} key=${c.title} of=${c} />`)}</div>` : html`<p class="empty">This schema has no views that are drawn here.</p>`;
  }}<//>`;
}

function All({ query }) {
  return html`<${Table} path="reports" caption="Views of the schema" sort="name" query=${query} id=${(r) => r.name} columns=${[{ name: "name", title: "View", show: (r) => html`<a href=${href(["reports", r.name])}>${r.name}</a>`, class: "name" },
    { name: "about", title: "What it tells", class: "words" }, { name: "columns", title: "Columns", class: "wide" }]} />`;
}

function One({ name, query }) {
  const shape = useData(`reports/${encodeURIComponent(name)}`, { limit: 1 });
  return html`<${Head} title=${name.replaceAll("_", " ")} crumbs=${[["Reports", href("reports")], ["All views", href(["reports", "all"])]]} />
    <${Loaded} from=${shape}>${(d) => html`${d.about && html`<p>${d.about}</p>`}
      <${Table} path=${`reports/${encodeURIComponent(name)}`} caption=${name} live=${LIVE_MS} query=${query} id=${(r) => JSON.stringify(r, (_, v) => (typeof v === "bigint" ? String(v) : v))} search=${true}
        columns=${d.columns.map((c) => ({ name: c, title: c, right: /(cents|_bp|_ms|hundredths|^deals|^leads)$/.test(c), show: (r) => html`<${Value} text=${figure(c, r[c])} />`, class: "value" }))}
        after=${(page) => html`<${Partial} d=${page} />`} />`}<//>`;
}

export default function Reports({ route }) {
  const [name] = route.rest;
  if (name && name !== "all") return html`<${One} name=${name} query=${route.query} />`;
  return html`<${Head} title="Reports" /><${Tabs} label="Of reports" now=${name || "drawn"} of=${[["drawn", "Dashboard", href("reports")], ["all", "All views", href(["reports", "all"])]]} />
    ${name === "all" ? html`<${All} query=${route.query} />` : html`<${Dashboard} />`}`;
}
