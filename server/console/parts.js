// Small pieces that views share.
import { createContext, html, useContext, useEffect, useState } from "./lib.js";
import { ago, count, duration, iso, time, value } from "./format.js";
import { href } from "./router.js";

export const Session = createContext(null);

const RANK = { viewer: 1, manager: 2, admin: 3 };

/** May who is signed in do what asks for this role? The server asks again. */
export function useMay(role) {
  const session = useContext(Session);
  return Boolean(session) && RANK[session.role] >= RANK[role];
}

/** A time as how long ago it was, with the time itself to be pointed at. */
export function Ago({ ms }) {
  if (!ms) return html`<span class="none">–</span>`;
  return html`<time datetime=${iso(ms)} title=${time(ms)}>${ago(ms)}</time>`;
}

/** How old something is that was there at that time already. */
export function AtLeast({ since }) {
  if (!since) return html`<span class="none">–</span>`;
  return html`<time datetime=${iso(since)} title=${time(since)}>at least ${duration(Math.max(1000, Math.floor((Date.now() - since) / 1000) * 1000))}</time>`;
}

export function Time({ ms }) {
  if (!ms) return html`<span class="none">–</span>`;
  return html`<time datetime=${iso(ms)} title=${iso(ms)}>${time(ms)}</time>`;
}

const TONES = {
  good: "current active online accepted retried restored used on ok done insert admin",
  bad: "revoked failed critical error delete locked wiped silent",
  warn: "late paused open warning never expired manager removed",
};

export function toneOf(word) {
  const first = String(word).split(" ")[0];
  return Object.keys(TONES).find((tone) => TONES[tone].split(" ").includes(first)) || (String(word).startsWith("to be") ? "bad" : "plain");
}

/** A state in a word; the colour says nothing that the word does not. */
export function Badge({ word, tone = toneOf(word) }) {
  return word === null || word === undefined ? html`<span class="none">–</span>` : html`<span class=${`badge ${tone}`}>${word}</span>`;
}

export function Tile({ label, figure, detail, to, tone = "" }) {
  const inner = html`<span class="label">${label}</span><span class="figure">${figure}</span>${detail && html`<span class="detail">${detail}</span>`}`;
  return to ? html`<a class=${`tile ${tone}`} href=${to}>${inner}</a>` : html`<div class=${`tile ${tone}`}>${inner}</div>`;
}

/** What went wrong, in words, where it did. */
export function Trouble({ problem, again }) {
  if (!problem) return null;
  return html`<div class="trouble" role="alert">
    <strong>${problem.status === 403 && problem.code !== "E_AUTH" ? "You may not see this." : problem.status === 404 ? "There is no such thing." : "That did not work."}</strong>
    ${" "}${problem.message}${problem.code && html` <code>${problem.code}</code>`}
    ${again && html` <button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

/** What useData gives: words while there is nothing, then what `children(data)` draws. */
export function Loaded({ from, children }) {
  const { data, problem, reload } = from;
  if (!data) return problem ? html`<${Trouble} problem=${problem} again=${reload} />` : html`<p class="waiting" role="status">Loading…</p>`;
  return html`${problem && html`<${Trouble} problem=${problem} again=${reload} />`}${children(data)}`;
}

export function Head({ title, children, crumbs = [] }) {
  useEffect(() => {
    document.title = `${title} · Satchel`;
  }, [title]);
  return html`<header class="head">
    ${crumbs.length > 0 && html`<nav class="crumbs" aria-label="Above">${crumbs.map(([words, to]) => html`<a href=${to}>${words}</a>`)}</nav>`}
    <h1 tabindex="-1">${title}</h1>
    ${children && html`<div class="tools">${children}</div>`}
  </header>`;
}

/** "As of", for a figure that moves on. */
export function AsOf({ asOf, children }) {
  if (!asOf) return null;
  return html`<p class="asof">As of commit ${String(asOf.seq)}, <time datetime=${iso(asOf.at_ms)}>${time(asOf.at_ms)}</time>${children}</p>`;
}

/** Pairs of what and how much; those whose value is undefined are left out. */
export function Facts({ of }) {
  return html`<dl class="facts">${of.filter(([, v]) => v !== undefined).map(([name, v]) => html`<div key=${name}><dt>${name}</dt><dd>${v}</dd></div>`)}</dl>`;
}

/** Who wrote something: a device by name, with a link to it, or the server. */
export function Author({ name, id, user }) {
  const who = id ? html`<a href=${href(["devices", id])}>${name}</a>` : name;
  return html`${who}${user && html` <span class="faint">(${user})</span>`}`;
}

const LONG = 60;

/** A value of any column; of a key its beginning, and of a long text, with the whole to be pointed at. `text` where it was put into words already. */
export function Value({ of, text = value(of) }) {
  if (/^x'[0-9a-f]{16,}'$/.test(text)) return html`<code class="key" title=${text}>${text}</code>`;
  return text.length > LONG ? html`<span title=${text}>${text.slice(0, LONG)}…</span>` : text;
}

/** A row by what it is called, else by its key; leads to it. */
export function RowLink({ table, rowKey, label }) {
  if (!table || !rowKey) return html`<span class="none">–</span>`;
  return html`<a class="row" href=${href(["data", table, rowKey])} title=${rowKey}>${label || html`<code>${rowKey}</code>`}</a>`;
}

/** How many rows of each table something holds; to(item): what leads to them. */
export function HeldTables({ items, to = () => null }) {
  const most = Math.max(1, ...items.map((t) => t.rows));
  return html`<div class="bars">${items.filter((t) => t.rows).sort((a, b) => b.rows - a.rows).map((t) => html`<a key=${t.table} href=${to(t)}>
    <span>${t.table}</span><meter min="0" max=${most} value=${t.rows} aria-label=${`Rows of ${t.table}`}></meter><span class="right">${count(t.rows)}</span></a>`)}</div>`;
}

export function Tabs({ of, now, label }) {
  return html`<nav class="tabs" aria-label=${label}>${of.map(([name, words, to, n]) => html`<a key=${name} href=${to} aria-current=${name === now ? "page" : null}>
    ${words}${n ? html` <span class="count">${n}</span>` : null}</a>`)}</nav>`;
}

/** A field with its label. */
export function Field({ label, help, children }) {
  return html`<label class="field"><span>${label}</span>${children}${help && html`<small>${help}</small>`}</label>`;
}

/** Seconds that go by, so that "3 s ago" is true. */
export function useTick(every = 5000) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), every);
    return () => clearInterval(timer);
  }, [every]);
}

const LOW_DAYS = 5;
const TIGHT_PERCENT = 80;

/** How long a device may stay offline yet. */
export function daysLeft(d) {
  if (d.days_left === null) return null;
  return d.days_left < LOW_DAYS ? html`<${Badge} word=${d.days_left < 0 ? "none" : String(d.days_left)} tone=${d.days_left < 0 ? "bad" : "warn"} />` : String(d.days_left);
}

/** What its files take of what they can come to. */
export function storageUsed(d) {
  if (d.storage_percent === null) return null;
  const words = `${d.storage_percent} %`;
  return d.storage_percent > TIGHT_PERCENT ? html`<${Badge} word=${words} tone="warn" />` : words;
}

export const lag = (ms) => (ms ? duration(ms) : "none");
