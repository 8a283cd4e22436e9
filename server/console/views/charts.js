// Figures over time, as the server has kept them.
import { html } from "../lib.js";
import { useData } from "../api.js";
import { Chart } from "../chart.js";
import { tick, time, unit } from "../format.js";
import { AsOf, Field, Head, Loaded } from "../parts.js";
import { setQuery } from "../router.js";

const RANGES = [["1h", "Hour", 3600000], ["6h", "6 hours", 21600000], ["1d", "Day", 86400000], ["7d", "Week", 604800000], ["30d", "Month", 2592000000], ["400d", "Year", 34560000000]];

const stemOf = (name) => name.replace(/_(p\d+_ms|in|out)$/, "");
const TITLES = { sync: "duration of a sync", lag: "how far behind", bytes: "bytes on the wire", pending: "waiting on devices", store_bytes: "store", wal_bytes: "write-ahead log", disk_free_bytes: "free on disk" };

/** Series that are read together share a chart: those whose names differ only in their last word: sync_p50_ms and sync_p99_ms. */
function together(series) {
  const groups = new Map();
  for (const s of series) {
    const stem = stemOf(s.name);
    groups.set(stem, [...(groups.get(stem) || []), s]);
  }
  return [...groups.values()];
}

const words = (name) => name.replace(/_ms$/, "").replaceAll("_", " ");
const titleOf = (group) => TITLES[stemOf(group[0].name)] || words(group[0].name);

/** What samples answers, a chart for each group; zoom and range as of Chart. */
export const Drawn = ({ d, zoom, range }) => html`<div class="charts">${together(d.series).map((group) => html`<${Chart} key=${group[0].name} title=${titleOf(group)}
  about=${group.map((s) => s.about).filter(Boolean).join(" ")} x=${d.times_ms} range=${range} zoom=${zoom}
  series=${group.map((s, i) => ({ name: s.name, label: group.length > 1 ? words(s.name) : s.unit, values: s.values, format: (v) => unit(s.unit, v), axis: (v) => tick(s.unit, v), unit: s.unit, colour: i }))} />`)}</div>`;

/** As an input of date and time takes it: the reader's own. */
const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 16);

/** Any span, for whoever does not draw with a mouse. */
function Between({ from, to }) {
  const show = (e) => {
    e.preventDefault();
    const [a, b] = ["from", "to"].map((name) => new Date(e.target.elements[name].value).getTime());
    setQuery({ from_ms: Math.min(a, b), to_ms: Math.max(a, b) });
  };
  return html`<details><summary>Other times</summary><form class="filters" onSubmit=${show}>
    <${Field} label="From"><input name="from" type="datetime-local" required value=${local(from)} /><//><${Field} label="To"><input name="to" type="datetime-local" required value=${local(to)} /><//>
    <button class="primary">Show</button></form></details>`;
}

export default function Charts({ route }) {
  const { range = "1h", from_ms, to_ms } = route.query;
  const span = (RANGES.find(([name]) => name === range) || RANGES[0])[2];
  const zoomed = Boolean(from_ms && to_ms);
  // To the minute: the same question until there is another answer.
  const now = Math.floor(Date.now() / 60000) * 60000 + 60000;
  const asked = zoomed ? { from_ms, to_ms } : { from_ms: now - span, to_ms: now };
  const from = useData("samples", asked, zoomed ? 0 : 60000);
  const zoom = (a, b) => setQuery({ from_ms: Math.floor(a / 60000) * 60000, to_ms: Math.max(Math.ceil(b / 60000), Math.floor(a / 60000) + 3) * 60000 });
  return html`<${Head} title="Charts"><div class="choice" role="group" aria-label="Time range">${RANGES.map(([name, label]) => html`<button key=${name} type="button" aria-pressed=${!zoomed && name === range}
      onClick=${() => setQuery({ range: name, from_ms: "", to_ms: "" })}>${label}</button>`)}</div>
      ${zoomed && html`<button type="button" onClick=${() => setQuery({ from_ms: "", to_ms: "" })}>Back from ${time(from_ms)} – ${time(to_ms)}</button>`}<//>
    <p class="faint">Draw over a chart to look closer. Figures are kept by the minute for two days, and by the hour for 400.</p>
    <${Loaded} from=${from}>${(d) => html`<section aria-label="Figures over time" aria-busy=${from.loading}><${Between} key=${`${range} ${from_ms} ${to_ms}`} from=${d.from_ms} to=${d.to_ms} /><${Drawn} d=${d} zoom=${zoom} range=${[d.from_ms, d.to_ms]} /><${AsOf} asOf=${d.as_of} /></section>`}<//>`;
}
