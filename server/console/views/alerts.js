// What is not as it should be, the rules that say so, and who is not told for a while.
import { html, useEffect, useState } from "../lib.js";
import { command, get, Problem } from "../api.js";
import { confirm } from "../dialog.js";
import { count, duration } from "../format.js";
import { Ago, Author, Badge, Head, Tabs, Time, useMay } from "../parts.js";
import { href } from "../router.js";
import { Table } from "../table.js";
import { profiles } from "./device_actions.js";

function ack(alerts, then) {
  confirm({
    title: alerts.length === 1 ? "Acknowledge this alert" : `Acknowledge ${alerts.length} alerts`, verb: "Acknowledge",
    words: "It stays until what is the matter is over; others see that somebody looks after it.",
    run: () => command("alert.ack", { ids: alerts.map((a) => a.id) }), said: "Acknowledged.", then,
  });
}

const acknowledgeable = (list, done) => list.length > 0 && html`<button type="button" onClick=${() => ack(list, done)}>Acknowledge</button>`;

/** What a silence holds for: the rule about one device, where this alert or silence is about one, else all of the rule; of the server there is nothing else. */
const extent = ({ rule, fingerprint }) => ({ rule, ...(fingerprint ? { device: fingerprint } : {}) });

function silence(of) {
  confirm({
    title: of.fingerprint ? `Silence ${of.rule} of ${of.subject}` : `Silence ${of.rule}`, verb: "Silence",
    words: `${of.fingerprint ? `Alerts of this rule about ${of.subject}` : "All alerts of this rule"} are shown here as ever, and nobody is told of them by e-mail or webhook.`,
    fields: [{ name: "hours", label: "For", options: [["1", "an hour"], ["8", "8 hours"], ["24", "a day"], ["168", "a week"]], value: "8" }],
    run: ({ hours }) => command("alert.silence", { ...extent(of), until_ms: Date.now() + hours * 3600000 }), said: "Silenced.",
  });
}

const LIVE_MS = 10000;
const SEVERITY = { critical: "bad", warning: "warn", info: "plain" };
const severity = { name: "severity", title: "Severity", show: (a) => html`<${Badge} word=${a.severity} tone=${SEVERITY[a.severity]} />` };

const stateOf = (a) => html`<${Badge} word=${a.state} tone=${a.state === "open" ? "bad" : a.state === "acked" ? "warn" : "good"} />${a.silenced && html` <${Badge} word="silenced" tone="plain" />`}${
  a.acked_by && html`<div class="faint">by ${a.acked_by}, <${Ago} ms=${a.acked_ms} /></div>`}`;

function Alerts({ query }) {
  const manager = useMay("manager");
  return html`<${Table} path="alerts" caption="Alerts" sort="-opened_ms" live=${LIVE_MS} link="opened_ms" query=${query} named=${(a) => `${a.rule} ${a.subject}`} empty="There was never an alert."
    filters=${[{ name: "state", label: "State", options: ["open", "acked", "closed"] }, { name: "severity", label: "Severity", options: ["critical", "warning", "info"] }, { name: "rule", label: "Rule" }]}
    bulk=${manager ? (rows, done) => acknowledgeable(rows.filter((a) => a.state === "open"), done) : null}
    columns=${[severity, { name: "state", title: "State", show: stateOf },
      { name: "words", title: "What", class: "words" }, { name: "subject", title: "Of", show: (a) => html`<${Author} name=${a.subject} id=${a.device_id} />`, class: "who" },
      { name: "rule", title: "Rule" }, { name: "opened_ms", title: "Since", down: true, show: (a) => html`<${Time} ms=${a.opened_ms} />` }, { name: "closed_ms", title: "Over", show: (a) => html`<${Time} ms=${a.closed_ms} />` },
      ...(manager ? [{ name: "do", title: "", sort: false, show: (a) => a.state !== "closed" && html`<button type="button" onClick=${() => silence(a)}>Silence</button>` }] : [])]} />`;
}

const METRICS = ["device.silent_s", "device.pending", "device.clock_skew_s", "device.schema_behind", "device.offline_days_left", "device.refusal_age_s", "device.wipe_wait_s", "device.version_refused_s", "device.storage_percent",
  "server.backup_age_s", "server.automations_failed", "server.notice_failing_s", "server.disk_free_mib", "server.conflicts", "server.auth_failures"];
const AGGREGATIONS = [["last", "last: the value now"], ["held", "held: now, and for the whole window"], ["sum", "sum of the window"], ["ratio", "ratio: the window's sum to the mean of such windows in the week before"], ["min", "min of the window"],
  ["max", "max of the window"], ["avg", "avg: mean of the window"]];
const NEW = { metric: "", aggregation: "last", window_s: 0, op: ">", threshold: "", severity: "warning", profile: null, hours: null, about: "" };

async function nameIsFree(name) {
  const { items } = await get("alert_rules", { "filter.name": name });
  if (items.length) throw new Problem(0, { detail: `There is a rule ${name}: edit that.` });
}

/** Makes a rule, or changes `rule` in all but its name. */
async function edit(rule) {
  const [given, samples] = await Promise.all([profiles(), get("samples", { from_ms: Date.now() - 60000 })]);
  const { profile, ...r } = rule || NEW;
  const named = given.filter((p) => p !== "full"); // Devices that hold everything have no profile that a rule could name.
  const names = profile && !named.includes(profile) ? [profile, ...named] : named;
  confirm({
    title: rule ? `Change ${rule.name}` : "Make a rule", verb: rule ? "Change" : "Make",
    words: "The server looks at once, and once a minute. It opens an alert for each device, or the server, where the condition holds, and closes it when that does not hold any more.",
    fields: [...(rule ? [] : [{ name: "name", label: "Name", help: "Small letters, digits, '-', '_' and '.'" }]),
      { name: "about", label: "What is the matter", value: r.about, help: "As the alert says it behind the device's name: has not been heard of" },
      { name: "metric", label: "Metric", value: r.metric, suggest: [...METRICS, ...samples.series.map((s) => `sample.${s.name}`)], help: "Of each device, of the server, or a figure of the charts" },
      { name: "aggregation", label: "Aggregation", options: AGGREGATIONS, value: r.aggregation },
      { name: "window", label: "Window, in minutes", type: "number", value: String(r.window_s / 60), help: "0 for the value now" },
      { name: "op", label: "Condition", options: [[">", "> more than"], [">=", ">= at least"], ["<", "< less than"], ["<=", "<= at most"]], value: r.op },
      { name: "threshold", label: "Threshold", type: "number", value: String(r.threshold), help: "In seconds where the metric ends in _s" },
      { name: "severity", label: "Severity", options: ["info", "warning", "critical"], value: r.severity },
      { name: "profile", label: "Profile", options: [["", "any"], ...names], value: profile || "", optional: true, help: "Of devices" },
      { name: "hours", label: "Hours", value: r.hours || "", optional: true, help: "Opens alerts then alone, in the server's time zone: mon-sat 08:00-20:00; empty: always" }],
    run: async ({ name = r.name, window, threshold, ...v }) => {
      if (!rule) await nameIsFree(name);
      return command("alert.rule.set", { ...v, name, window_s: Math.round(window * 60), threshold: Number(threshold) });
    },
    said: rule ? "Changed." : "Made.",
  });
}

const TONE_OF_WAY = { ok: "good", sent: "good", failing: "bad", failed: "bad" };
const Ways = ({ of }) => html`<ul>${of.map((n) => html`<li key=${n.way}>${n.way} <${Badge} word=${n.state} tone=${TONE_OF_WAY[n.state] || "plain"} /> ${n.words}</li>`)}</ul>`;

const test = () => confirm({
  title: "Send a test", verb: "Send", words: "A notice that says that it is a test goes out by mail and webhook, whichever is set.",
  run: () => command("alert.test"), done: ({ notices }) => html`<${Ways} of=${notices} />`,
});

/** By what anybody is told, and whether that works. */
function Told() {
  const [ways, set] = useState([]);
  const admin = useMay("admin");
  useEffect(() => {
    command("alert.list", { limit: 1 }).then(({ notices }) => set(notices), () => set([])); // The list above says what is wrong.
  }, []);
  const some = ways.some((n) => n.state !== "off");
  return ways.length > 0 && html`<section class="card" aria-label="By what alerts are told"><h2>By what alerts are told</h2><${Ways} of=${ways} />${!some && html`<p>Nobody is told: neither smtp-url nor alert-webhook is set, see satcheld.conf(5).</p>`}
    ${admin && some && html`<div class="buttons left"><button type="button" onClick=${test}>Send a test</button></div>`}</section>`;
}

function Rules({ query }) {
  const admin = useMay("admin");
  const flip = (r) => confirm({
    title: `${r.active ? "Switch off" : "Switch on"} ${r.name}`, verb: r.active ? "Switch off" : "Switch on", words: r.active ? "Its open alerts are closed, and it opens none." : "From the next minute on it opens alerts.",
    run: () => command(r.active ? "alert.rule.off" : "alert.rule.on", { name: r.name }), said: "Done.",
  });
  return html`<${Table} path="alert_rules" caption="When there is an alert" sort="name" live=${LIVE_MS} link="name" by=${(r) => ({ name: r.name })} query=${query} id=${(r) => r.name} tools=${admin && html`<button type="button" class="primary" onClick=${() => edit(null)}>Make a rule</button>`} columns=${[
    { name: "name", title: "Rule" }, severity, { name: "about", title: "What is the matter", class: "words" },
    { name: "metric", title: "When", show: (r) => html`<code>${r.metric} ${r.op} ${count(r.threshold)}</code>` }, { name: "aggregation", title: "How" }, { name: "window_s", title: "Over", right: true, show: (r) => (r.window_s ? duration(r.window_s * 1000) : "at once") },
    { name: "profile", title: "Profile", show: (r) => r.profile || "any" }, { name: "hours", title: "Hours", show: (r) => r.hours || "always" },
    { name: "active", title: "On", show: (r) => html`<${Badge} word=${r.active ? "on" : "off"} tone=${r.active ? "good" : "plain"} />` },
    { name: "open", title: "Open", right: true, show: (r) => (r.open ? html`<a href=${href("alerts", { "filter.rule": r.name, "filter.state": "open" })}>${count(r.open)}</a>` : 0) },
    ...(admin ? [{ name: "do", title: "", sort: false, class: "do", show: (r) => html`<button type="button" onClick=${() => edit(r)}>Edit</button><button type="button" onClick=${() => flip(r)}>${r.active ? "Switch off" : "Switch on"}</button>
      <button type="button" onClick=${() => silence({ rule: r.name })}>Silence</button>` }] : [])]} />
    <${Told} />`;
}

function Silences({ query }) {
  const manager = useMay("manager");
  const end = (s) => confirm({ title: "End this silence", words: "What is the matter still is told from now on.", verb: "End", said: "Ended.", run: () => command("alert.unsilence", extent(s)) });
  return html`<${Table} path="silences" caption="Nobody is told of" live=${LIVE_MS} link="until_ms" query=${query} search=${false} columns=${[{ name: "rule", title: "Rule" }, { name: "subject", title: "Of", show: (s) => (s.subject ? html`<${Author} name=${s.subject} id=${s.device_id} />` : "all") },
    { name: "until_ms", title: "Until", show: (s) => html`<${Time} ms=${s.until_ms} />` }, { name: "by", title: "By" },
    ...(manager ? [{ name: "do", title: "", sort: false, show: (s) => html`<button type="button" onClick=${() => end(s)}>End</button>` }] : [])]} />`;
}

export default function View({ route }) {
  const tab = route.rest[0] || "alerts";
  return html`<${Head} title="Alerts" /><${Tabs} label="Of alerts" now=${tab} of=${[["alerts", "Alerts", href("alerts")], ["rules", "Rules", href(["alerts", "rules"])], ["silences", "Silenced", href(["alerts", "silences"])]]} />
    ${tab === "rules" ? html`<${Rules} query=${route.query} />` : tab === "silences" ? html`<${Silences} query=${route.query} />` : html`<${Alerts} query=${route.query} />`}`;
}
