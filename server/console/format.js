// Values for people. Each gives text.

const NONE = "–";
const number = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" });

const is = (v) => v !== null && v !== undefined && v !== "";

export const count = (v) => (is(v) ? (typeof v === "bigint" ? String(v) : number.format(v)) : NONE);
export const text = (v) => (is(v) ? String(v) : NONE);
export const time = (ms) => (is(ms) ? clock.format(Number(ms)) : NONE);
export const shortTime = (ms) => (is(ms) ? short.format(Number(ms)) : NONE);
export const iso = (ms) => (is(ms) ? new Date(Number(ms)).toISOString() : "");

export function bytes(n) {
  if (!is(n)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (n = Number(n); Math.abs(n) >= 1024 && i < units.length - 1; n /= 1024) i++;
  return `${number.format(n)} ${units[i]}`;
}

/** 90061000 is "1 d 1 h": the two largest units. */
export function duration(ms) {
  if (!is(ms)) return NONE;
  const sign = ms < 0 ? "−" : "";
  ms = Math.abs(Number(ms));
  if (ms < 1000) return `${sign}${Math.round(ms)} ms`;
  if (ms < 60000) return `${sign}${number.format(ms / 1000)} s`;
  const parts = [[86400000, "d"], [3600000, "h"], [60000, "min"]];
  const at = parts.findIndex(([unit]) => ms >= unit);
  const [unit, name] = parts[at];
  const rest = parts[at + 1] ? Math.floor((ms % unit) / parts[at + 1][0]) : 0;
  return `${sign}${Math.floor(ms / unit)} ${name}${rest ? ` ${rest} ${parts[at + 1][1]}` : ""}`;
}

export function ago(ms, now = Date.now()) {
  if (!is(ms)) return NONE;
  const past = now - Number(ms);
  if (past < 0) return past > -60000 ? "now" : `in ${duration(-past)}`;
  return past < 5000 ? "now" : `${duration(past < 60000 ? Math.floor(past / 1000) * 1000 : past)} ago`;
}

/** An SQL literal as it is read: 'O''Neill' is O’Neill's name, x'0a0b' stays bytes. */
export function literal(v) {
  if (!is(v) || v === "NULL") return NONE;
  const s = String(v);
  return s.length > 1 && s.startsWith("'") && s.endsWith("'") ? s.slice(1, -1).replaceAll("''", "'") : s;
}

export const hex = (base64) => Array.from(atob(base64), (c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");

/** A value as the API tells it, of any column. */
export function value(v) {
  if (v === null || v === undefined) return NONE;
  if (typeof v !== "object") return String(v);
  if ("base64" in v) return `x'${hex(v.base64)}'`;
  return "real" in v ? v.real : JSON.stringify(v);
}

/** A key as the API tells it, {"id": {"base64": ...}}, as the SQL literals that it takes. */
export function keyLiteral(key) {
  return Object.values(key).map((v) => {
    if (typeof v === "string") return `'${v.replaceAll("'", "''")}'`;
    return v !== null && typeof v === "object" && "base64" in v ? `x'${hex(v.base64)}'` : String(v);
  }).join(",");
}

/** A figure of a report or a series, by the unit that its name tells. */
export function figure(name, v) {
  if (v === null || v === undefined) return NONE;
  if (typeof v !== "number" && typeof v !== "bigint") return value(v);
  const n = Number(v);
  if (/cents$/.test(name)) return (n / 100).toLocaleString("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  if (/_bp$/.test(name)) return `${(n / 100).toFixed(1)} %`;
  if (/hundredths$/.test(name)) return (n / 100).toFixed(2);
  if (/_ms$/.test(name)) return duration(n);
  if (/(^|_)at$/.test(name)) return time(n);
  return /(_year|^year|_id)$/.test(name) ? String(v) : count(v);
}

export function unit(name, v) {
  if (v === null || v === undefined) return NONE;
  if (name === "ms") return duration(v);
  if (name.startsWith("bytes")) return bytes(v) + name.slice(5);
  return `${count(v)} ${name}`;
}

/** The same at an axis, where the unit stands elsewhere. */
export const tick = (name, v) => (name === "ms" || name.startsWith("bytes") ? unit(name, v).replace("/min", "") : count(v));

export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
