// New rules for some devices first: how far that is, and its actions.
import { html } from "../lib.js";
import { command } from "../api.js";
import { confirm } from "../dialog.js";
import { count, plural } from "../format.js";
import { useMay } from "../parts.js";
import { href } from "../router.js";
import { Rows } from "../table.js";

const some = (n, profile) => (n ? html`<a href=${href("devices", { "filter.profile": profile })}>${count(n)}</a>` : 0);
const sum = (profiles, name) => profiles.reduce((n, p) => n + p[name], 0);
const percent = { name: "percent", label: "Percent of the devices of each profile", type: "number" };
export const rollOut = (rules) => confirm({
  title: "Roll these rules out", verb: "Roll out",
  words: html`<p>For each profile that they change, a second one of its name and <code>@next</code> goes by them, beside the rules in force. A device is under the new rules once it has that profile: so many
    percent of the devices of each, rounded up, have it at once; single ones are given it on their page. The new rules may change what a profile gets, its masks and rights, but not where rows lie.</p>
    <p>At the end they are put in force for all, or the rules of now are again. Every row is looked at; the server takes no changes meanwhile.</p>`,
  fields: [{ ...percent, value: "10", help: "0: none yet" }],
  run: (v) => command("rollout.start", { ...rules, percent: Number(v.percent) }), said: "They are rolled out.",
});

const advance = () => confirm({
  title: "Give the new rules to more devices", verb: "Give",
  words: "Until so many percent of the devices of each profile have the next one. None loses it again; connected devices are told at once.",
  fields: [{ ...percent, value: "50" }],
  run: (v) => command("rollout.advance", { percent: Number(v.percent) }), said: "Given.",
});

const finish = (r) => confirm({
  title: "Put the new rules in force for all", verb: "Finish", danger: true,
  words: html`<p>${r.name} is published as it was given. ${plural(sum(r.profiles, "devices") - sum(r.profiles, "given"), "device")} that ${sum(r.profiles, "devices") - sum(r.profiles, "given") === 1 ? "has" : "have"}
    not been under its rules come under them; the others have the profile before <code>@next</code>, and keep what they hold.</p>`,
  run: () => command("rollout.finish"), said: "The new rules are in force for all.",
});

const abort = (r) => confirm({
  title: "Put the rules of before in force for all", verb: "Abort", danger: true,
  words: html`<p>${plural(sum(r.profiles, "given"), "device")} with a next profile ${sum(r.profiles, "given") === 1 ? "has its" : "have their"} old one: what the new rules gave is taken from
    ${sum(r.profiles, "given") === 1 ? " it" : " them"}, after unsent edits were taken in, and what they took is sent again. ${r.name} is not kept here.</p>`,
  run: () => command("rollout.abort"), said: "The rules of before are in force for all.",
});

export function Rollout({ of }) {
  const admin = useMay("admin");
  return html`<section class="card" aria-label="A rollout is under way"><h2>A rollout is under way</h2>
    <p class="headline">${of.name} is rolled out: ${count(sum(of.profiles, "given"))} of ${plural(sum(of.profiles, "devices"), "device")} ${sum(of.profiles, "given") === 1 ? "is" : "are"} under its rules.</p>
    <${Rows} caption="Profiles that it changes" rows=${of.profiles} id=${(p) => p.next} columns=${[{ name: "name", title: "Profile" }, { name: "devices", title: "Devices", right: true, show: (p) => count(p.devices) },
      { name: "given", title: "Under the new rules", right: true, show: (p) => some(p.given, p.next) }, { name: "told", title: "Of these here since", right: true, show: (p) => count(p.told) },
      { name: "left", title: "Under the old ones", right: true, show: (p) => some(p.devices - p.given, p.name) }]} />
    ${admin && html`<div class="buttons left"><button type="button" class="primary" onClick=${advance}>To more devices…</button><button type="button" onClick=${() => finish(of)}>Finish…</button>
      <button type="button" class="danger" onClick=${() => abort(of)}>Abort…</button></div>`}</section>`;
}
