// What can be done to a device, each with what it will mean.
import { html } from "../lib.js";
import { command, get } from "../api.js";
import { confirm, each } from "../dialog.js";
import { count } from "../format.js";

const waits = (d) => (d.pending ? ` ${count(d.pending)} unsent ${d.pending === 1 ? "transaction was" : "transactions were"} on it when it was last here.` : "");

const ACTIONS = {
  pause: {
    role: "admin", verb: "Pause", states: ["active"],
    words: (d) => `${d.name} is told to come back later and works on offline. Nothing is lost; it is served again once it is resumed.${waits(d)}`,
  },
  resume: { role: "admin", verb: "Resume", states: ["paused"], words: (d) => `${d.name} is served again when it next comes, within five minutes.` },
  sync: {
    role: "admin", verb: "Sync now", states: ["active"],
    words: (d) => `If ${d.name} is connected, it is sent away and comes again within seconds: it sends what it has and gets what it has missed. If it is not, nothing can reach it, and it syncs when it next comes.`,
  },
  resnapshot: {
    role: "admin", verb: "New snapshot", states: ["active", "paused"],
    words: (d) => `When it next comes, ${d.name} gets everything that it may hold anew. What it has not sent yet stays, and is sent.`,
  },
  verify: {
    role: "admin", verb: "Verify", states: ["active", "paused"],
    words: (d) => `${d.name} compares all its rows with the server's: at once if it is connected (it is sent away for a moment), else when it next comes. Rows that differ are given to it again; what it has not sent yet stays.`,
  },
  rotate_key: {
    role: "admin", verb: "New key", states: ["active", "paused"],
    words: (d) => `${d.name} makes itself a new key: at once if it is connected (it is sent away for a moment), else when it next comes. Once it has come by that, its old key opens nothing any more. What it has not sent yet stays. A device that is lost is to be revoked or wiped instead: whoever has it can make the new key.`,
  },
  revoke: {
    role: "admin", verb: "Revoke", states: ["active", "paused"], danger: true,
    words: (d) => `${d.name} is cut off at once and for good, and is told so when it comes. What it has sent stays; what it has not sent does not arrive any more.${waits(d)}`,
  },
  wipe: {
    role: "admin", verb: "Wipe", states: ["active", "paused", "revoked", "to be wiped", "wiped"], danger: true, typed: true,
    words: (d) => `When it next comes, ${d.name} erases its data, with what it has not sent, and its keys. From now on nothing is taken from it. This cannot be taken back.${waits(d)}`,
  },
  remove: {
    role: "admin", verb: "Remove", states: ["revoked", "wiped"], danger: true, gone: true,
    words: (d) => `${d.name} goes out of every list and count, and its name is free. What it wrote stays under its name, and its key stays refused. Its grants end, and so does an enrolment code of its name that was not used. It cannot be wiped any more. This cannot be taken back.${waits(d)}`,
  },
};

/** Asks, and does it to one device or several. `leaves`: `then` leads to another page, and this one is not to ask again for what may be gone. */
export function act(name, devices, then, leaves) {
  const action = ACTIONS[name];
  const fit = devices.filter((d) => action.states.includes(d.state));
  const one = fit.length === 1 ? fit[0] : null;
  const unsent = fit.reduce((n, d) => n + d.pending, 0);
  const many = one ? null : html`<p>${action.words({ name: "Each of them", pending: 0 })}</p>
    ${unsent > 0 && html`<p>${count(unsent)} unsent transactions were on them when they were last here.</p>`}<ul>${fit.map((d) => html`<li key=${d.id}>${d.name}</li>`)}</ul>
    ${fit.length < devices.length && html`<p>${count(devices.length - fit.length)} of the selected are left as they are: their state does not allow it.</p>`}`;
  const must = one ? one.name : String(fit.length);
  confirm({
    title: one ? `${action.verb}: ${one.name}` : `${action.verb}: ${fit.length} devices`,
    words: one ? action.words(one) : many,
    verb: action.verb, danger: action.danger,
    fields: action.typed ? [{ name: "typed", label: one ? `Type “${must}” to go on` : `Type their number, ${must}, to go on`, must }] : [],
    ...each(fit, (d) => command(`device.${name}`, { name: d.fingerprint }), (d) => d.name), said: one ? `${action.verb}: ${one.name}, done.` : `${action.verb}: ${fit.length} devices, done.`, then, leaves,
  });
}

export function rename(d) {
  confirm({
    title: `Rename ${d.name}`, words: "The name is for people alone: the device and what it wrote stay what they are.", verb: "Rename",
    fields: [{ name: "to", label: "New name", value: d.name }], run: ({ to }) => command("device.rename", { name: d.fingerprint, to }), said: "Renamed.",
  });
}

const NOBODY = "Written as in SQL: 7, 'ann' or x'0a0b'; empty for none.";

/** The names of the profiles in force, and full. */
export async function profiles() {
  const scope = await get("scope");
  return [...scope.profiles.map((p) => p.name), "full"];
}

export async function reassign(d) {
  const names = await profiles();
  confirm({
    title: `Profile of ${d.name}`, words: "The device gets the rows that it may hold then, and forgets the others after what it had changed there was taken in.", verb: "Change",
    fields: [
      { name: "profile", label: "Profile", options: names.includes(d.profile) ? names : [d.profile, ...names], value: d.profile },
      { name: "user", label: "User", value: d.user || "", help: NOBODY, optional: true }, { name: "store", label: "Store", value: d.store || "", help: NOBODY, optional: true },
    ],
    run: (v) => command("device.set", { name: d.fingerprint, profile: v.profile, user: v.user, store: v.store }), said: "Changed.",
  });
}

/** What can be done to one of them at least. */
export const allowed = (devices) => Object.entries(ACTIONS).filter(([, a]) => devices.some((d) => a.states.includes(d.state)));
