// How all is, and where to look first.
import { html } from "../lib.js";
import { useData } from "../api.js";
import { bytes, count, duration, plural } from "../format.js";
import { Ago, AsOf, Badge, Facts, Head, Loaded, Tile, Trouble, useTick } from "../parts.js";
import { href } from "../router.js";
import { Drawn } from "./charts.js";

const HOUR = 3600000;

function headline(d) {
  if (d.active === 0) return "No device is enrolled yet";
  return `${count(d.current)} of ${plural(d.active, "device")} ${d.current === 1 ? "is" : "are"} current`;
}

/** The share of each health of the devices that are to come, as one bar. */
function Shares({ devices }) {
  const parts = [["current", devices.current, "good"], ["late", devices.late, "warn"], ["silent", devices.silent, "bad"], ["never", devices.never, "plain"]];
  const words = { current: "current", late: "late", silent: "silent for a day", never: "never came" };
  return html`<div class="shares" aria-hidden="true">${parts.filter(([, n]) => n).map(([name, n, tone]) => html`<span key=${name} class=${tone} style=${{ flexGrow: n }}></span>`)}</div>
    <ul class="legend">${parts.map(([name, n, tone]) => html`<li key=${name}><a href=${href("devices", { "filter.health": name })}><span class=${`dot ${tone}`} aria-hidden="true"></span>${
      count(n)} ${words[name]}</a></li>`)}</ul>`;
}

function Devices({ d }) {
  return html`<section aria-label="Devices"><p class="headline">${headline(d.devices)}</p><${Shares} devices=${d.devices} />
    <div class="tiles">
      <${Tile} label="Online now" figure=${count(d.devices.online)} to=${href("devices", { "filter.online": 1 })} />
      <${Tile} label="Late" figure=${count(d.devices.late)} detail="behind for more than an hour" to=${href("devices", { "filter.health": "late" })} tone=${d.devices.late ? "warn" : ""} />
      <${Tile} label="Silent for 24 h" figure=${count(d.devices.silent)} detail=${`${count(d.devices.silent_7d)} for 7 days`} to=${href("devices", { "filter.health": "silent" })} tone=${
        d.devices.silent ? "bad" : ""} />
      <${Tile} label="Changes waiting" figure=${count(d.waiting.changes)} detail=${`on ${plural(d.waiting.devices, "device")}, as last told`} to=${href("devices", { sort: "-pending" })} />
      <${Tile} label="Oldest unsent change" figure=${d.waiting.since_ms ? `at least ${duration(d.as_of.at_ms - d.waiting.since_ms)}` : "none"} to=${href("devices", { sort: "pending_since_ms" })} />
      <${Tile} label="Clock off" figure=${count(d.devices.clock_off)} to=${href("devices", { sort: "-clock_offset_ms" })} tone=${d.devices.clock_off ? "warn" : ""} />
    </div></section>`;
}

function Work({ d }) {
  return html`<section aria-label="To be looked at"><h2>To be looked at</h2><div class="tiles">
    <${Tile} label="Alerts open" figure=${count(d.alerts.open)} detail=${d.alerts.acked ? `${count(d.alerts.acked)} acknowledged` : ""} to=${href("alerts", { "filter.state": "open" })} tone=${
      d.alerts.open ? "bad" : ""} />
    <${Tile} label="Refused changes open" figure=${count(d.refusals.open)} detail=${d.refusals.oldest_ms ? html`oldest <${Ago} ms=${d.refusals.oldest_ms} />` : ""} to=${
      href("refusals", { "filter.state": "open" })} tone=${d.refusals.open ? "warn" : ""} />
    <${Tile} label="Conflicts in 24 h" figure=${count(d.conflicts.day)} detail=${`${count(d.conflicts.open)} not looked at`} to=${href("conflicts", { "filter.state": "open" })} />
    <${Tile} label="Automations failed in 24 h" figure=${count(d.automations.failed_day)} detail=${`of ${plural(d.automations.runs_day, "run")}`} to=${href(["automations", "runs"])} tone=${
      d.automations.failed_day ? "warn" : ""} />
    <${Tile} label="To be wiped" figure=${count(d.devices.to_be_wiped)} detail=${`${count(d.devices.wiped)} wiped`} to=${href("devices", { "filter.state": "to be wiped" })} tone=${
      d.devices.to_be_wiped ? "warn" : ""} />
    <${Tile} label="Old schema" figure=${count(d.devices.behind_schema)} detail="devices behind the newest" to=${href("system")} />
  </div></section>`;
}

function Flow({ d }) {
  const s = d.syncs;
  return html`<section aria-label="Flow"><h2>Flow</h2><div class="tiles">
    <${Tile} label="Pushed" figure=${count(d.rates.pushed)} detail=${`transactions/min, ${bytes(d.rates.bytes_in)}/min`} to=${href("charts")} />
    <${Tile} label="Pulled" figure=${count(d.rates.pulled)} detail=${`pages/min, ${bytes(d.rates.bytes_out)}/min`} to=${href("charts")} />
    <${Tile} label="Sync, median" figure=${duration(s.p50_ms)} detail=${`p95 ${duration(s.p95_ms)}, p99 ${duration(s.p99_ms)}`} to=${href("charts")} />
    <${Tile} label="Syncs in the last hour" figure=${count(s.hour)} detail=${s.failed ? `${count(s.failed)} with an error` : "none with an error"} to=${href("charts")} tone=${s.failed ? "warn" : ""} />
  </div></section>`;
}

function Server({ s, asOf }) {
  return html`<section class="card"><h2>Server</h2>
    ${s.trouble && html`<p class="trouble">${s.trouble}</p>`}
    <${Facts} of=${[
      ["Takes changes", html`<${Badge} word=${s.writable ? "yes" : "no"} tone=${s.writable ? "good" : "bad"} />`],
      ["Newest backup", s.backup_ms ? html`<${Ago} ms=${s.backup_ms} />` : html`<${Badge} word="none yet" tone="warn" />`],
      ["Commits since it", count(asOf.seq - s.backup_seq)],
      ["Running since", html`<${Ago} ms=${s.started_ms} />`],
      ["Version", s.version], ["Schema", String(s.schema_epoch)],
      ["Store", bytes(s.store_bytes)], ["Write-ahead log", bytes(s.wal_bytes)],
      ["Free on disk", `${bytes(s.disk_free_bytes)}, ${bytes(s.disk_reserve_bytes)} kept back`],
      ["Waiting for the writer", count(s.writer_queue)], ["Waiting for a reader", count(s.reader_queue)],
      ["Commit", count(asOf.seq)], ["Epoch", html`<code>${s.epoch}</code>`],
    ]} /></section>`;
}

function Recent() {
  const from = useData("samples", { name: "pushed,pulled,sync_p50_ms,sync_p95_ms,online" }, 60000);
  if (!from.data) return from.problem ? html`<${Trouble} problem=${from.problem} />` : html`<p class="waiting" role="status">Loading…</p>`;
  return html`<${Drawn} d=${from.data} range=${[from.data.to_ms - HOUR, from.data.to_ms]} />`;
}

export default function Overview() {
  const from = useData("overview", {}, 5000);
  useTick();
  return html`<${Head} title="Overview" /><${Loaded} from=${from}>${(d) => html`
    <${Devices} d=${d} /><${Work} d=${d} /><${Flow} d=${d} /><${Recent} /><${Server} s=${d.server} asOf=${d.as_of} /><${AsOf} asOf=${d.as_of} />`}<//>`;
}
