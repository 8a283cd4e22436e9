// The one chart, over uPlot: lines and points over time, or bars of categories. What is drawn can be read as a table below it.
import { html, useEffect, useRef, useState } from "./lib.js";
import uPlot from "./vendor/uplot.js";
import { shortTime, time } from "./format.js";

const HEIGHT = 220;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (i) => css(`--line-${(i % 6) + 1}`);

// By the distance of two marks: what is written, and what besides where a day or a year begins.
const CLOCK = [
  [86400 * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM} {YYYY}", null, "\n{D} {MMM}", null, null, null, 1],
];

// Marks of an axis: of what is counted whole ones alone, of money whole units, of times those that people know.
const COUNTS = Array.from({ length: 15 }, (_, e) => [1, 2, 5].map((n) => n * 10 ** e)).flat();
const TIMES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 2592e6, 864e7, 432e8, 1728e8, 432e9];
const BYTES = Array.from({ length: 48 }, (_, e) => 2 ** e);
const MARKS = { bytes: BYTES, "bytes/min": BYTES, ms: TIMES, cents: COUNTS.map((n) => n * 100) };

function axes(labels, { axis, format, unit }) {
  const common = { stroke: css("--faint"), grid: { stroke: css("--edge"), width: 1 }, ticks: { stroke: css("--edge"), width: 1 }, font: "12px system-ui, sans-serif" };
  const x = labels ? { ...common, grid: { show: false }, splits: (u) => u.data[0].filter((i) => i % every(labels, u) === 0), values: (u, at) => at.map((i) => cut(labels[i], room(labels, u))), space: 0 } :
    { ...common, values: CLOCK };
  const values = (_, at) => at.map((v) => (v === null ? "" : (axis || format)(v)));
  const size = (_, shown) => Math.max(46, Math.min(120, 18 + 7 * Math.max(2, ...(shown || []).map((s) => s.length))));
  return [x, { ...common, values, size, incrs: MARKS[unit] || COUNTS }];
}

/** Pixels of a label's own. */
const slot = (labels, u) => u.bbox.width / devicePixelRatio / labels.length;
const wanted = (labels) => 8 + 7 * Math.min(11, Math.max(...labels.map((l) => l.length)));
/** Where they are many, every so many labels are written. */
const every = (labels, u) => Math.max(1, Math.ceil(Math.min(wanted(labels), 64) / slot(labels, u)));
const room = (labels, u) => slot(labels, u) * every(labels, u);

function cut(label, px) {
  const fit = Math.max(2, Math.floor((px - 6) / 6.6));
  return label === undefined ? "" : label.length > fit ? `${label.slice(0, fit - 1)}…` : label;
}

/** Bars of one label stand side by side, and a few take no more room than many: where those of series i of `all` begin, and how wide they are, in parts of the plot. */
function beside(i, all, n) {
  const span = n + 0.2, width = Math.min(Math.min(0.8, 1.2 * all / 4 + 0.2) / all, 0.1 * span);
  return {
    x0: { unit: 2, values: (u) => u.data[0].map((at) => (at + 0.6 + width * (i - all / 2)) / span) },
    size: { unit: 2, values: () => [width * 0.92 / span] },
  };
}

/** Figures with none beside them, which no line shows. */
const alone = (u, i) => u.data[i].flatMap((v, at, all) => (v !== null && (all[at - 1] ?? null) === null && (all[at + 1] ?? null) === null ? [at] : []));

function lineOf(s, i, n, bars, all) {
  const stroke = colour(s.colour ?? i), value = (_, v) => s.format(v);
  if (bars) return { label: s.label, stroke, fill: stroke, width: 0, points: { show: false }, value, paths: uPlot.paths.bars({ disp: beside(i, all, n) }) };
  if (s.points) return { label: s.label, stroke, fill: stroke, paths: () => null, points: { show: true, size: 6, fill: stroke }, value };
  return { label: s.label, stroke, width: 2, fill: all === 1 ? `${stroke}22` : undefined, spanGaps: false, points: { show: false, size: 5, fill: stroke, filter: alone }, value };
}

function draw(at, { x, labels, series, zoom, range }) {
  const bars = Boolean(labels);
  return new uPlot({
    width: at.clientWidth, height: HEIGHT, pxAlign: 0, padding: [10, 22, 0, 0],
    series: [{ label: bars ? "What" : "Time", value: (_, v) => (v === null ? "" : bars ? labels[v] : shortTime(v * 1000)) },
      ...series.map((s, i) => lineOf(s, i, bars ? labels.length : x.length, bars, series.length))],
    axes: axes(labels, series[0]),
    scales: {
      x: bars ? { time: false, range: () => [-0.6, labels.length - 0.4] } : { time: true, range: range ? () => range.map((ms) => ms / 1000) : undefined },
      y: { range: (_, low, high) => [low < 0 ? low * 1.08 : 0, high > 0 ? high * 1.08 : 1] },
    },
    legend: { live: true },
    cursor: { drag: { x: Boolean(zoom), y: false, setScale: false }, points: { show: !bars, size: 7 } },
    hooks: {
      setSelect: [(u) => {
        if (!zoom || u.select.width < 8) return;
        const from = u.posToVal(u.select.left, "x"), to = u.posToVal(u.select.left + u.select.width, "x");
        u.setSelect({ width: 0, left: 0, top: 0, height: 0 }, false);
        zoom(Math.round(from * 1000), Math.round(to * 1000));
      }],
    },
  }, [bars ? labels.map((_, i) => i) : x.map((ms) => ms / 1000), ...series.map((s) => s.values)], at);
}

/**
 * title, about: words. Over time: x: milliseconds; bars: labels. series: {name, label, values, format(v), axis(v): the same at the axis, unit: ms or cents where they are that, points, colour}. zoom(from, to): what to do when a span is
 * drawn with the mouse; range: [from, to] of the axis.
 */
export function Chart({ title, about, x, labels, series, zoom, range, heading = "h2" }) {
  const at = useRef(null);
  const [, again] = useState(0);
  const drawn = JSON.stringify([x, labels, series.map((s) => [s.label, s.values]), range]);
  const empty = series.every((s) => s.values.every((v) => v === null));
  useEffect(() => {
    const theme = () => again((n) => n + 1);
    addEventListener("theme", theme);
    return () => removeEventListener("theme", theme);
  }, []);
  const dark = document.documentElement.dataset.theme;
  useEffect(() => {
    if (empty) return undefined;
    const box = at.current;
    const plot = draw(box, { x: x || [], labels, series, zoom, range });
    const watch = new ResizeObserver(() => box.clientWidth && box.clientWidth !== plot.width && plot.setSize({ width: box.clientWidth, height: HEIGHT }));
    watch.observe(box);
    return () => {
      watch.disconnect();
      plot.destroy();
    };
  }, [drawn, dark]);
  const rows = labels || x || [];
  const Heading = heading;
  return html`<figure class="chart" data-chart=${series.map((s) => s.name).join(",")}>
    <figcaption><${Heading}>${title}<//>${about && html`<p>${about}</p>`}</figcaption>
    ${empty ? html`<p class="empty">${labels ? "No figures yet." : "No figures for this time."}</p>` : html`<div class="plot" ref=${at} role="img" aria-label=${`${title}; the figures are in the table below`}></div>`}
    ${!empty && html`<details><summary>Figures as a table</summary><div class="scroll" tabindex="0" role="region" aria-label=${`Figures: ${title}`}><table>
      <thead><tr><th scope="col">${labels ? "What" : "Time"}</th>${series.map((s) => html`<th key=${s.name} scope="col" class="right">${s.label}</th>`)}</tr></thead>
      <tbody>${rows.map((r, i) => html`<tr key=${i}><td>${labels ? r : time(r)}</td>${series.map((s) => html`<td key=${s.name} class="right" data-value=${
        s.values[i]}>${s.values[i] === null || s.values[i] === undefined ? "–" : s.format(s.values[i])}</td>`)}</tr>`)}</tbody></table></div></details>`}
  </figure>`;
}
