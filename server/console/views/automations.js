// What the server does by itself: the rules, and what they did.
import { html } from "../lib.js";
import { command } from "../api.js";
import { confirm } from "../dialog.js";
import { count, duration } from "../format.js";
import { Badge, Head, RowLink, Tabs, Time, useMay } from "../parts.js";
import { href } from "../router.js";
import { Table } from "../table.js";

const flip = (a) => confirm({
  title: `Switch ${a.active ? "off" : "on"} ${a.name}`, verb: a.active ? "Switch off" : "Switch on", said: `Switched ${a.active ? "off" : "on"}.`,
  words: a.active ? "From the next change on it does nothing. What it misses is not made up for." : `From the next change on it acts${a.every ? "; if it is due it runs once" : ""}. What it missed is not made up for.`,
  run: () => command(a.active ? "automation.off" : "automation.on", { name: a.name }),
});

const now = (a) => confirm({ title: `Run ${a.name} now`, verb: "Run", words: "The timer runs once, as if its time had come. What it writes reaches the devices.", run: () => command("automation.run", { name: a.name }), said: "It ran.",
  done: (reply) => reply.failed && html`<p class="trouble" role="alert">It failed, and wrote nothing; “What they did” says why.</p>` });

const test = (a) => confirm({
  title: `Try ${a.name}`, verb: "Try", words: "Fires it for a row as it is now, shows what it and what follows from it would write, and undoes it all.",
  fields: a.every ? [] : [{ name: "table", label: "Table", value: a.table || "" }, { name: "key", label: "Row's key", value: a.key || "", help: "As in SQL: x'0a0b' or 'abc'" }],
  run: (v) => command("automation.try", { name: a.name, ...v }), done: (reply) => html`<pre tabindex="0">${reply.report || "It would write nothing."}</pre>`,
});

// Nobody knows any more what an update found; so a condition that asks for it may hold no more.
const again = (r) => confirm({
  title: `Run ${r.name} again`, verb: "Run again", said: "It ran again.",
  words: html`<p>Runs it for <b>${r.label || r.key}</b> of ${r.table} as the row is now, once. What it and what follows from it write reaches the devices. Then this
    entry says so, and is no more among what failed.</p><p>What an update found is not kept: its <code>old.*</code> is what <code>new.*</code> is.</p>`,
  fields: [{ name: "condition", label: "Its condition", options: [["asked", "has to hold, else nothing is done"], ["aside", "is left aside"]], value: "asked" }],
  run: (v) => command("automation.replay", { id: r.id, unconditional: v.condition === "aside" }),
  done: (reply) => reply.failed && html`<p class="trouble" role="alert">It failed again, and wrote nothing; entry ${reply.id} says why.</p>`,
});

function dismiss(runs, then) {
  confirm({
    title: runs.length === 1 ? `Dismiss entry ${runs[0].id} of ${runs[0].name}` : `Dismiss ${runs.length} entries`, verb: "Dismiss", danger: true,
    words: `What was to be written is not written. ${runs.length === 1 ? "The entry is" : "These entries are"} no more among what failed, and cannot be run again.`,
    run: () => command("automation.dismiss", { ids: runs.map((r) => r.id) }), said: "Dismissed.", then,
  });
}

const dismissable = (runs, done) => html`<button type="button" class="danger" onClick=${() => dismiss(runs, done)}>Dismiss</button>`;

const entry = (id) => html`<a href=${href(["automations", "runs"], { "filter.id": id })}>entry ${id}</a>`;

/** What there is to say of it, what was run again as what, and what somebody has dismissed; what failed of a timer is settled by its next run, too. */
const said = (r) => html`${r.words}${r.replays && html`<div>again, for ${entry(r.replays)}</div>`}${r.replayed_by && html`<div>run again <${Time} ms=${r.replayed_ms} /> as ${entry(r.replayed_by)}</div>`}${
  r.settled_ms && !r.replayed_by && html`<div>${r.table ? "dismissed" : "settled"} <${Time} ms=${r.settled_ms} /></div>`}`;

const does = (a) => html`<details><summary>${a.every ? `every ${a.every}` : `${a.event} of ${a.table}${a.columns ? ` (${a.columns})` : ""}`}</summary>
  ${a.condition && html`<p>if <code>${a.condition}</code></p>`}<pre tabindex="0">${a.actions}</pre></details>`;

function Rules({ query }) {
  const [manager, admin] = [useMay("manager"), useMay("admin")];
  return html`<${Table} path="automations" caption="Automations" sort="name" live=${10000} query=${query} id=${(a) => a.name} filters=${[{ name: "active", label: "On", options: [["1", "on"], ["0", "off"]] },
      { name: "table", label: "Table" }, { name: "failed", label: "Failed", options: [["1..", "some"], ["0", "none"]] }]}
    columns=${[{ name: "name", title: "Name", show: (a) => html`<a href=${href(["automations", "runs"], { "filter.name": a.name })}>${a.name}</a>`, class: "name" }, { name: "about", title: "What for", class: "words" },
      { name: "event", title: "When, and what", sort: false, show: does, class: "wide" }, { name: "active", title: "On", show: (a) => html`<${Badge} word=${a.active ? "on" : "off"} tone=${a.active ? "good" : "plain"} />` },
      { name: "last_ms", title: "Last", down: true, show: (a) => html`<${Time} ms=${a.last_ms} />` }, { name: "ran", title: "Runs", right: true, show: (a) => count(a.ran) },
      { name: "failed", title: "Failed", right: true, show: (a) => (a.failed ? html`<a href=${href(["automations", "failed"], { "filter.name": a.name })}><${Badge} word=${count(a.failed)} tone="bad" /></a>` : 0) },
      ...(manager ? [{ name: "do", title: "", sort: false, class: "do", show: (a) => html`${admin && html`<button type="button" onClick=${() => flip(a)}>${a.active ? "Switch off" : "Switch on"}</button>`}
        <button type="button" onClick=${() => test(a)}>Try</button>${admin && a.every && html`<button type="button" onClick=${() => now(a)}>Run now</button>`}` }] : [])]} />`;
}

/** What they did; or only what failed, by automation. */
function Runs({ query, failed }) {
  const [manager, admin] = [useMay("manager"), useMay("admin")];
  return html`<${Table} key=${failed} path="automation_runs" caption=${failed ? "What failed" : "What automations did"} sort="-at_ms" live=${10000} link="id" query=${query} fixed=${failed ? { "filter.failed": 1 } : {}}
    groups=${failed ? { name: "name", label: "automation" } : undefined} empty=${failed ? "No automation has failed." : "No automation has run."}
    bulk=${failed && admin ? dismissable : null} named=${(r) => `entry ${r.id}`}
    filters=${[...(failed ? [] : [{ name: "name", label: "Automation" }]), { name: "code", label: "Code", hint: "E_..." }, { name: "table", label: "Table" }]}
    columns=${[{ name: "at_ms", title: "When", down: true, show: (r) => html`<${Time} ms=${r.at_ms} />` }, { name: "id", title: "Entry", right: true, show: (r) => String(r.id) },
      { name: "name", title: "Automation" },
      { name: "label", title: "Row", sort: false, show: (r) => html`<${RowLink} table=${r.table} rowKey=${r.key} label=${r.label} />` }, { name: "table", title: "Table" },
      { name: "seq", title: "Commit", right: true, show: (r) => (r.seq ? String(r.seq) : "timer") }, ...(failed ? [] : [{ name: "wrote", title: "Wrote", right: true, show: (r) => count(r.wrote) },
        { name: "ms", title: "Took", right: true, show: (r) => duration(r.ms) }]), { name: "code", title: "End", show: (r) => html`<${Badge} word=${r.code || "done"} tone=${r.code ? "bad" : "good"} />` },
      { name: "words", title: "In words", class: "words", show: said },
      ...(failed && manager ? [{ name: "do", title: "", sort: false, class: "do", show: (r) => html`${admin && (r.table
        ? html`<button type="button" onClick=${() => again(r)}>Run again</button>` : html`<button type="button" onClick=${() => now(r)}>Run now</button>`)}
        <button type="button" onClick=${() => test({ name: r.name, table: r.table, key: r.key, every: !r.table })}>Try</button>${admin && dismissable([r])}` }] : [])]} />`;
}

export default function Automations({ route }) {
  const tab = route.rest[0] || "rules";
  return html`<${Head} title="Automations" /><${Tabs} label="Of automations" now=${tab} of=${[["rules", "Rules", href("automations")], ["runs", "What they did", href(["automations", "runs"])], ["failed", "What failed", href(["automations", "failed"])]]} />
    ${tab === "runs" || tab === "failed" ? html`<${Runs} query=${route.query} failed=${tab === "failed"} />` : html`<${Rules} query=${route.query} />`}`;
}
