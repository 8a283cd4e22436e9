// Every device: who is in step, who is not, and why.
import { html } from "../lib.js";
import { useData } from "../api.js";
import { bytes, count, duration, literal } from "../format.js";
import { Ago, AtLeast, Badge, daysLeft, Head, lag, storageUsed, useMay } from "../parts.js";
import { href } from "../router.js";
import { Table } from "../table.js";
import Device from "./device.js";
import { act, allowed } from "./device_actions.js";

const COLUMNS = [
  { name: "name", title: "Device", show: (d) => html`<a href=${href(["devices", d.id])}>${d.name}</a>`, class: "name" },
  { name: "health", title: "Health", show: (d) => html`<${Badge} word=${d.health} />${d.online && html` <${Badge} word="online" />`}` },
  { name: "state", title: "State", show: (d) => html`<${Badge} word=${d.state} />` },
  { name: "profile", title: "Profile" },
  { name: "user", title: "User", show: (d) => literal(d.user), class: "short" },
  { name: "store", title: "Store", show: (d) => literal(d.store), class: "short" },
  { name: "last_seen_ms", title: "Last seen", down: true, show: (d) => html`<${Ago} ms=${d.last_seen_ms} />` },
  { name: "last_push_ms", title: "Last push", down: true, show: (d) => html`<${Ago} ms=${d.last_push_ms} />` },
  { name: "last_pull_ms", title: "Last pull", down: true, show: (d) => html`<${Ago} ms=${d.last_pull_ms} />` },
  { name: "lag_seq", title: "Behind", right: true, show: (d) => count(d.lag_seq), help: "Commits; some may not be for it" },
  { name: "lag_ms", title: "Behind since", right: true, show: (d) => lag(d.lag_ms) },
  { name: "pending", title: "Waiting", right: true, show: (d) => count(d.pending), help: "Transactions that were on it when it last said so" },
  { name: "pending_since_ms", title: "Oldest waiting", show: (d) => html`<${AtLeast} since=${d.pending_since_ms} />`, help: "It waited already when the device was last here" },
  { name: "refusals_open", title: "Refused", right: true, show: (d) => (d.refusals_open ? html`<a href=${href("refusals", { "filter.device": d.name, "filter.state": "open" })}>${count(d.refusals_open)}</a>` : 0) },
  { name: "conflicts_7d", title: "Conflicts 7 d", right: true, show: (d) => count(d.conflicts_7d) },
  { name: "compared_rows", title: "Rows", right: true, show: (d) => count(d.compared_rows), help: "That it held when it compared them last" },
  { name: "held_bytes", title: "Storage", right: true, show: (d) => bytes(d.held_bytes), help: "That its files took when it last said so" },
  { name: "storage_percent", title: "Storage used", right: true, show: (d) => storageUsed(d), help: "Of what its files can come to: those, and what was free beside them" },
  { name: "clock_offset_ms", title: "Clock", right: true, show: (d) => duration(d.clock_offset_ms) },
  { name: "schema_epoch", title: "Schema", right: true, show: (d) => String(d.schema_epoch) },
  { name: "software", title: "Software" },
  { name: "platform", title: "Platform" },
  { name: "fenced_ms", title: "Away until", show: (d) => html`<${Ago} ms=${d.fenced_ms} />`, help: "If it does not come until then, it has to begin with a snapshot" },
  { name: "days_left", title: "Days left", right: true, show: (d) => daysLeft(d), help: "Offline, until then" },
  { name: "last_error", title: "Last error", class: "words" },
];

function filters(profiles, software) {
  return [
    { name: "health", label: "Health", options: ["current", "late", "silent", "never", "off"] },
    { name: "state", label: "State", options: ["active", "paused", "revoked", "to be wiped", "wiped"] },
    { name: "online", label: "Connected", options: [["1", "online"], ["0", "not"]] },
    { name: "profile", label: "Profile", options: [...profiles, "full"] },
    { name: "store", label: "Store", hint: "as in SQL" }, { name: "schema_epoch", label: "Schema", hint: "11, or ..10" },
    { name: "software", label: "Software", options: software }, { name: "platform", label: "Platform", hint: "Linux 6.1; x86_64" },
    { name: "refusals_open", label: "Refused", options: [["1..", "some"], ["0", "none"]] },
    { name: "last_end", label: "Last end", hint: "E_..." }, { name: "days_left", label: "Days left", hint: "..5" },
    { name: "unsettled", label: "Rules in force", options: [["1", "not heard of"], ["0", "heard of"]] },
  ];
}

function List({ route }) {
  const scope = useData("scope");
  const admin = useMay("admin");
  const software = useData("software", { sort: "-devices" });
  const versions = software.data ? software.data.items.map((s) => s.software).filter(Boolean) : [];
  const names = scope.data ? scope.data.profiles.map((p) => p.name) : [];
  return html`<${Head} title="Devices">${admin && html`<a class="button primary" href=${href(["people", "enrolment"])}>Enrol a device</a>`}<//>
    <${Table} path="devices" caption="Devices" columns=${COLUMNS} filters=${filters(names, versions)} sort="name" live=${10000} query=${route.query} empty="No device is enrolled yet."
      bulk=${admin ? (rows, done) => allowed(rows).map(([name, a]) => html`<button key=${name} type="button" class=${a.danger ? "danger" : ""} onClick=${() => act(name, rows, done)}>${a.verb}</button>`) : null} />`;
}

export default function Devices({ route }) {
  return route.rest.length ? html`<${Device} route=${route} />` : html`<${List} route=${route} />`;
}
