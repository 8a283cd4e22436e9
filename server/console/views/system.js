// Which migrations have run and where the devices are; backups and restores; what happened.
import { html } from "../lib.js";
import { command, useData } from "../api.js";
import { confirm } from "../dialog.js";
import { count, duration } from "../format.js";
import { Ago, Author, Badge, Facts, Head, Loaded, Tabs, Time, useMay } from "../parts.js";
import { href } from "../router.js";
import { Table } from "../table.js";

const LIVE_MS = 15000;

function Schema({ query }) {
  const from = useData("schema", {}, LIVE_MS);
  return html`<${Loaded} from=${from}>${(d) => html`<${Facts} of=${[["Schema", String(d.schema_epoch)], ["Version of the server", d.version], ["Least version of devices", d.min_version || "any"], ["Format of the store", String(d.store_format)],
      ["Devices that never came", d.never ? html`<a href=${href("devices", { "filter.health": "never" })}>${count(d.never)}</a>` : "none"]]} />`}<//>
    <h2>Migrations</h2><${Table} path="migrations" name="migrations" caption="Migrations, and the devices that are at each" query=${query} sort="-epoch" live=${LIVE_MS} id=${(m) => m.epoch} filters=${[{ name: "devices", label: "Devices", options: [["1..", "some"], ["0", "none"]] }]}
      columns=${[{ name: "epoch", title: "Epoch", down: true }, { name: "name", title: "Migration" },
        { name: "devices", title: "Devices at it", right: true, show: (m) => (m.devices ? html`<a href=${href("devices", { "filter.schema_epoch": m.epoch })}>${count(m.devices)}</a>` : 0) }]} />
    <h2>Software of devices</h2><${Table} path="software" name="software" caption="Software of devices" query=${query} sort="-devices" live=${LIVE_MS} id=${(s) => s.software}
      columns=${[{ name: "software", title: "Software", show: (s) => html`<a href=${href("devices", { q: s.software })}>${s.software || "not said"}</a>` }, { name: "devices", title: "Devices", right: true, show: (s) => count(s.devices) }]} />`;
}

const backup = () => confirm({
  title: "Make a backup", verb: "Make it", words: "A copy of the running store as of one commit, with keys and certificates, in “backups” of the server's data directory. The server goes on working. Keep the newest one safe, on another machine.",
  fields: [{ name: "target", label: "Name of the backup", value: new Date().toISOString().slice(0, 16).replace("T", "-").replace(":", ""), help: "Letters, digits, '.', '_' and '-'" }],
  run: ({ target }) => command("backup", { target }), done: (reply) => html`<p>The backup is made: <code>${reply.target}</code></p>`,
});

const drill = () => confirm({
  title: "Restore drill", verb: "Try it", words: "The newest backup is restored into a directory of its own beside it, checked whole, and removed again. It needs as much room once more; the server goes on working. What comes out is kept.",
  run: () => command("backup.drill"), done: (reply) => (reply.whole ? html`<p>The backup <code>${reply.target}</code> is whole: ${count(reply.rows)} rows as of commit ${String(reply.seq)}, restored and checked in ${duration(reply.ms)}.</p>`
    : html`<p class="trouble">The backup <code>${reply.target}</code> is not whole: ${reply.wrong}</p>`),
});

function Backups({ query }) {
  const from = useData("backups", { limit: 1 }, LIVE_MS);
  const admin = useMay("admin");
  return html`<${Loaded} from=${from}>${(d) => html`<${Facts} of=${[["Newest backup", d.age_ms === null ? html`<${Badge} word="none yet" tone="warn" />` : `${duration(d.age_ms)} ago`], ["Has everything up to commit", String(d.backup_seq)],
      ["Commits since", count(d.commits_since)], ["Epoch", html`<code>${d.epoch}</code>`],
      ["Last restore drill", d.drill ? html`<${Badge} word=${d.drill.whole ? "whole" : "not whole"} tone=${d.drill.whole ? "good" : "bad"} /> <${Ago} ms=${d.drill.at_ms} />: ${d.drill.words.replace(/^(not )?whole: /, "")}` : html`<${Badge} word="none yet" tone="warn" />`]]} />`}<//>
    <h2>Backups</h2><${Table} path="backups" name="backups" caption="Backups" query=${query} sort="-at_ms" live=${LIVE_MS} link="at_ms" empty="There is no backup yet." tools=${admin && html`<button type="button" onClick=${drill}>Restore drill</button><button type="button" class="primary" onClick=${backup}>Make a backup</button>`}
      columns=${[{ name: "at_ms", title: "When", down: true, show: (b) => html`<${Time} ms=${b.at_ms} />` }, { name: "seq", title: "Commit", right: true, show: (b) => String(b.seq) }, { name: "name", title: "Where", class: "wide" }]} />
    <h2>Epochs</h2><${Table} path="epochs" name="epochs" caption="Epochs: one more for each time that the server was restored" query=${query} sort="-start_seq" search=${false} id=${(e) => e.epoch}
      columns=${[{ name: "epoch", title: "Epoch", show: (e) => html`<code>${e.epoch}</code>` }, { name: "start_seq", title: "From commit", right: true, show: (e) => String(e.start_seq) },
        { name: "at_ms", title: "Began", down: true, show: (e) => html`<${Time} ms=${e.at_ms} />` }]} />`;
}

const EVENTS = [{ name: "at_ms", title: "When", down: true, show: (e) => html`<${Time} ms=${e.at_ms} />` }, { name: "device", title: "Device", show: (e) => (e.device ? html`<${Author} name=${e.device} id=${e.device_id} />` : "the server"), class: "who" },
  { name: "kind", title: "What", show: (e) => html`<${Badge} word=${e.kind} tone="plain" />` }, { name: "text", title: "In words", class: "words" }];

export default function System({ route }) {
  const tab = route.rest[0] || "schema";
  return html`<${Head} title="Schema & backups" /><${Tabs} label="Of the system" now=${tab} of=${[["schema", "Schema", href("system")], ["backups", "Backups", href(["system", "backups"])], ["events", "Events", href(["system", "events"])]]} />
    ${tab === "backups" ? html`<${Backups} query=${route.query} />` : tab === "events" ? html`<${Table} path="events" caption="What happened" columns=${EVENTS} sort="-at_ms" live=${LIVE_MS} link="at_ms" query=${route.query} filters=${[{ name: "kind", label: "What" }, { name: "device", label: "Device" }]} />` : html`<${Schema} query=${route.query} />`}`;
}
