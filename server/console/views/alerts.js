// What is not as it should be, the rules that say so, and who is not told for a while.
import { html } from "../lib.js";
import { command } from "../api.js";
import { confirm } from "../dialog.js";
import { count, duration } from "../format.js";
import { Badge, Head, Tabs, Time, useMay } from "../parts.js";
import { href } from "../router.js";
import { Table } from "../table.js";

function ack(alerts, then) {
  confirm({
    title: alerts.length === 1 ? "Acknowledge this alert" : `Acknowledge ${alerts.length} alerts`, verb: "Acknowledge",
    words: "It stays until what is the matter is over; others see that somebody looks after it.",
    run: () => command("alert.ack", { ids: alerts.map((a) => a.id) }), said: "Acknowledged.", then,
  });
}

const acknowledgeable = (list, done) => list.length > 0 && html`<button type="button" onClick=${() => ack(list, done)}>Acknowledge</button>`;

function silence(rule, subject) {
  confirm({
    title: `Silence ${rule}`, verb: "Silence", words: `${subject ? `Alerts of this rule about ${subject} are` : "Alerts of this rule are"} shown here as ever, and nobody is told of them by e-mail or webhook.`,
    fields: [{ name: "hours", label: "For", options: [["1", "an hour"], ["8", "8 hours"], ["24", "a day"], ["168", "a week"]], value: "8" }],
    run: ({ hours }) => command("alert.silence", { rule, ...(subject ? { device: subject } : {}), until_ms: Date.now() + hours * 3600000 }), said: "Silenced.",
  });
}

const SEVERITY = { critical: "bad", warning: "warn", info: "plain" };
const severity = { name: "severity", title: "Severity", show: (a) => html`<${Badge} word=${a.severity} tone=${SEVERITY[a.severity]} />` };

function Alerts({ query }) {
  const manager = useMay("manager");
  return html`<${Table} path="alerts" caption="Alerts" sort="-opened_ms" live=${10000} query=${query} named=${(a) => `${a.rule} ${a.subject}`} empty="There was never an alert."
    filters=${[{ name: "state", label: "State", options: ["open", "acked", "closed"] }, { name: "severity", label: "Severity", options: ["critical", "warning", "info"] }, { name: "rule", label: "Rule" }]}
    bulk=${manager ? (rows, done) => acknowledgeable(rows.filter((a) => a.state === "open"), done) : null}
    columns=${[severity, { name: "state", title: "State", show: (a) => html`<${Badge} word=${a.state} tone=${a.state === "open" ? "bad" : a.state === "acked" ? "warn" : "good"} />` },
      { name: "words", title: "What", class: "words" }, { name: "subject", title: "Of", show: (a) => (a.subject ? html`<a href=${href("devices", { q: a.subject })}>${a.subject}</a>` : "the server"), class: "who" },
      { name: "rule", title: "Rule" }, { name: "opened_ms", title: "Since", down: true, show: (a) => html`<${Time} ms=${a.opened_ms} />` }, { name: "closed_ms", title: "Over", show: (a) => html`<${Time} ms=${a.closed_ms} />` },
      ...(manager ? [{ name: "do", title: "", sort: false, show: (a) => a.state !== "closed" && html`<button type="button" onClick=${() => silence(a.rule, a.subject)}>Silence</button>` }] : [])]} />`;
}

function Rules({ query }) {
  const admin = useMay("admin");
  const flip = (r) => confirm({
    title: `${r.active ? "Switch off" : "Switch on"} ${r.name}`, verb: r.active ? "Switch off" : "Switch on", words: r.active ? "Its open alerts are closed, and it opens none." : "From the next minute on it opens alerts.",
    run: () => command(r.active ? "alert.rule.off" : "alert.rule.on", { name: r.name }), said: "Done.",
  });
  const edit = (r) => confirm({
    title: `Threshold of ${r.name}`, verb: "Change", words: html`<p>${r.about}</p><p>There is an alert when <code>${r.metric} ${r.op}</code> this number${r.window_s ? `, over ${duration(r.window_s * 1000)}` : ""}; alerts for which that does not hold any more are over.</p>`,
    fields: [{ name: "threshold", label: "Threshold", type: "number", value: String(r.threshold) }],
    run: ({ threshold }) => command("alert.rule.set", { name: r.name, threshold: Number(threshold) }), said: "Changed.",
  });
  return html`<${Table} path="alert_rules" caption="When there is an alert" sort="name" query=${query} id=${(r) => r.name} columns=${[
    { name: "name", title: "Rule" }, severity, { name: "about", title: "What is the matter", class: "words" },
    { name: "metric", title: "When", show: (r) => html`<code>${r.metric} ${r.op} ${count(r.threshold)}</code>` }, { name: "window_s", title: "Over", right: true, show: (r) => (r.window_s ? duration(r.window_s * 1000) : "at once") },
    { name: "active", title: "On", show: (r) => html`<${Badge} word=${r.active ? "on" : "off"} tone=${r.active ? "good" : "plain"} />` },
    { name: "open", title: "Open", right: true, show: (r) => (r.open ? html`<a href=${href("alerts", { "filter.rule": r.name, "filter.state": "open" })}>${count(r.open)}</a>` : 0) },
    ...(admin ? [{ name: "do", title: "", sort: false, class: "do", show: (r) => html`<button type="button" onClick=${() => edit(r)}>Threshold</button><button type="button" onClick=${() => flip(r)}>${r.active ? "Switch off" : "Switch on"}</button>
      <button type="button" onClick=${() => silence(r.name, "")}>Silence</button>` }] : [])]} />`;
}

function Silences({ query }) {
  const manager = useMay("manager");
  const end = (s) => confirm({ title: "End this silence", words: "What is the matter still is told from now on.", verb: "End", said: "Ended.",
    run: () => command("alert.unsilence", { rule: s.rule, ...(s.subject ? { device: s.subject } : {}) }) });
  return html`<${Table} path="silences" caption="Nobody is told of" query=${query} search=${false} columns=${[{ name: "rule", title: "Rule" }, { name: "subject", title: "Of", show: (s) => s.subject || "all" },
    { name: "until_ms", title: "Until", show: (s) => html`<${Time} ms=${s.until_ms} />` }, { name: "by", title: "By" },
    ...(manager ? [{ name: "do", title: "", sort: false, show: (s) => html`<button type="button" onClick=${() => end(s)}>End</button>` }] : [])]} />`;
}

export default function View({ route }) {
  const tab = route.rest[0] || "alerts";
  return html`<${Head} title="Alerts" /><${Tabs} label="Of alerts" now=${tab} of=${[["alerts", "Alerts", href("alerts")], ["rules", "Rules", href(["alerts", "rules"])], ["silences", "Silenced", href(["alerts", "silences"])]]} />
    ${tab === "rules" ? html`<${Rules} query=${route.query} />` : tab === "silences" ? html`<${Silences} query=${route.query} />` : html`<${Alerts} query=${route.query} />`}`;
}
