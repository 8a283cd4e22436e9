// Who may sign in, which programs have tokens, and enrolling devices.
import { html, useState } from "../lib.js";
import { command } from "../api.js";
import { confirm } from "../dialog.js";
import { count, literal } from "../format.js";
import { Ago, Badge, Head, Tabs, Time, useMay } from "../parts.js";
import { href } from "../router.js";
import { Table } from "../table.js";
import { profiles } from "./device_actions.js";
import { Qr } from "./qr.js";

const LIVE_MS = 10000;
const ROLES = [["viewer", "viewer: sees everything, changes nothing"], ["manager", "manager: settles conflicts and refusals"], ["admin", "admin: everything"]];

function Secret({ what, text }) {
  const [said, say] = useState("");
  const copy = () => navigator.clipboard.writeText(text).then(() => say("Copied."), () => say("This browser does not let a page copy."));
  return html`<p>${what} It is shown now and never again.</p><p class="secret"><code>${text}</code></p><p><button type="button" onClick=${copy}>Copy</button> <span role="status">${said}</span></p>`;
}

/** What is typed, or nothing: then the server makes one up. */
const secretOf = (password) => (password ? { password } : { random: true });

const addUser = () => confirm({
  title: "Add somebody", verb: "Add", words: "Whoever has the name and the password can sign in here.",
  fields: [{ name: "name", label: "Name" }, { name: "role", label: "Role", options: ROLES, value: "viewer" },
    { name: "password", label: "Password", type: "password", optional: true, help: "At least 10 characters; empty: one is made up and shown to you." }],
  run: ({ password, ...v }) => command("user.add", { ...v, ...secretOf(password) }), said: "Added.", done: (r, v) => r.password && html`<${Secret} what=${`The password of ${v.name}.`} text=${r.password} />`,
});

const setRole = (u) => confirm({ title: `Role of ${u.name}`, verb: "Change", words: "It holds from the next request on.", fields: [{ name: "role", label: "Role", options: ROLES, value: u.role }],
  run: ({ role }) => command("user.role", { name: u.name, role }), said: "Changed." });
const setPassword = (u) => confirm({
  title: `New password for ${u.name}`, verb: "Set", words: `The old one is worth nothing then, and ${u.name} is signed out everywhere.`,
  fields: [{ name: "password", label: "Password", type: "password", optional: true, help: "At least 10 characters; empty: one is made up and shown to you." }],
  run: ({ password }) => command("user.passwd", { name: u.name, ...secretOf(password) }), said: "Set.",
  done: (r) => r.password && html`<${Secret} what=${`The password of ${u.name}.`} text=${r.password} />`,
});
const lock = (u) => confirm({ title: `Lock ${u.name}`, verb: "Lock", danger: true, words: `${u.name} is signed out everywhere and cannot sign in until unlocked.`,
  run: () => command("user.lock", { name: u.name }), said: "Locked." });
const unlock = (u) => confirm({ title: `Unlock ${u.name}`, verb: "Unlock", words: `${u.name} can sign in again at once, with the password that holds; wrong ones so far are forgotten.`,
  run: () => command("user.unlock", { name: u.name }), said: "Unlocked." });
/** Somebody who is locked, or has to wait after wrong passwords. */
const isKeptOut = (u) => u.state === "locked" || u.locked_until_ms > Date.now();
const remove = (u) => confirm({ title: `Remove ${u.name}`, verb: "Remove", danger: true, words: `${u.name} is signed out everywhere and cannot sign in any more. What ${u.name} did stays in the audit log.`,
  run: () => command("user.remove", { name: u.name }), said: "Removed." });

function Users({ query }) {
  const admin = useMay("admin");
  return html`<${Table} path="users" caption="People who may sign in" sort="name" live=${LIVE_MS} link="name" query=${query} tools=${admin && html`<button type="button" class="primary" onClick=${addUser}>Add somebody</button>`}
    filters=${[{ name: "role", label: "Role", options: ["viewer", "manager", "admin"] }]}
    columns=${[{ name: "name", title: "Name", class: "name" }, { name: "role", title: "Role", show: (u) => html`<${Badge} word=${u.role} tone="plain" />` }, { name: "state", title: "State", show: (u) => html`<${Badge} word=${u.state} />` },
      { name: "last_login_ms", title: "Signed in last", down: true, show: (u) => html`<${Ago} ms=${u.last_login_ms} />` }, { name: "sessions", title: "Sessions", right: true, show: (u) => count(u.sessions) },
      { name: "failures", title: "Failures", help: "Wrong passwords since the last right one", right: true, show: (u) => count(u.failures) }, { name: "locked_until_ms", title: "Waits until", show: (u) => html`<${Time} ms=${u.locked_until_ms} />` },
      ...(admin ? [{ name: "do", title: "", sort: false, class: "do", show: (u) => html`<button type="button" onClick=${() => setRole(u)}>Role</button><button type="button" onClick=${() => setPassword(u)}>Password</button>
        ${isKeptOut(u) && html`<button type="button" onClick=${() => unlock(u)}>Unlock</button>`}${u.state !== "locked" && html`<button type="button" onClick=${() => lock(u)}>Lock</button>`}<button type="button" class="danger" onClick=${() => remove(u)}>Remove</button>` }] : [])]} />`;
}

const addToken = () => confirm({
  title: "Make a token for a program", verb: "Make", words: "With it a program of another system reads and writes over this server's API. What it writes is known by this name.",
  fields: [{ name: "name", label: "Name" }, { name: "rights", label: "Rights", value: "read,write", help: "read, write, server (tables that devices may not write), console:viewer, console:manager, console:admin; with commas" }],
  run: ({ name, rights }) => command("token.add", { name, rights }), done: (r, v) => html`<${Secret} what=${`The token of ${v.name}.`} text=${r.token} />`,
});
const revokeToken = (t) => confirm({ title: `Revoke the token of ${t.name}`, verb: "Revoke", danger: true, words: "It is worth nothing at once. What the program wrote stays.", run: () => command("token.revoke", { name: t.name }), said: "Revoked." });

function Tokens({ query }) {
  const admin = useMay("admin");
  return html`<${Table} path="tokens" caption="Tokens of programs" sort="name" live=${LIVE_MS} link="name" query=${query} tools=${admin && html`<button type="button" class="primary" onClick=${addToken}>Make a token</button>`}
    columns=${[{ name: "name", title: "Name", class: "name" }, { name: "rights", title: "Rights" }, { name: "state", title: "State", show: (t) => html`<${Badge} word=${t.state} />` },
      { name: "used_ms", title: "Used last", down: true, show: (t) => html`<${Ago} ms=${t.used_ms} />` }, { name: "created_ms", title: "Made", show: (t) => html`<${Time} ms=${t.created_ms} />` },
      ...(admin ? [{ name: "do", title: "", sort: false, show: (t) => t.state === "active" && html`<button type="button" class="danger" onClick=${() => revokeToken(t)}>Revoke</button>` }] : [])]} />`;
}

async function enrol() {
  const names = await profiles();
  confirm({
    title: "Enrol a device", verb: "Make a code", words: "Makes a code that one device may use once, within a day.",
    fields: [{ name: "name", label: "Name of the device" }, { name: "profile", label: "Profile", options: names, value: names[0] },
      { name: "user", label: "User", optional: true, help: "Its key, as in SQL: x'0a0b', 7 or 'ann'; where the profile asks for it" }, { name: "store", label: "Store", optional: true, help: "Likewise" }],
    run: ({ name, profile, user, store }) => command("device.add", { name, profile, ...(user ? { user } : {}), ...(store ? { store } : {}) }),
    done: (r, v) => html`<p>Scan it with ${v.name}, or type it there. It is shown now and never again, and holds until <${Time} ms=${r.expires_ms} />.</p>
      <${Qr} text=${r.enrolment_code} label=${`Enrolment code of ${v.name}`} /><p class="secret"><code>${r.enrolment_code}</code></p>`,
  });
}

function Enrolment({ query }) {
  const admin = useMay("admin");
  return html`<${Table} path="enrolments" caption="Enrolment codes" sort="-expires_ms" live=${LIVE_MS} link="expires_ms" by=${(e) => ({ name: e.name, expires_ms: e.expires_ms })} query=${query} id=${(e) => `${e.name} ${e.expires_ms}`} tools=${html`<a class="button" href=${href(["explain", "users"])}>Devices by user</a>${admin && html`<button type="button" class="primary" onClick=${enrol}>Enrol a device</button>`}`}
    empty="No code was given out yet." filters=${[{ name: "state", label: "State", options: ["open", "used", "expired"] }]}
    columns=${[{ name: "name", title: "Device", class: "name" }, { name: "profile", title: "Profile" }, { name: "user", title: "User", show: (e) => literal(e.user), class: "short" },
      { name: "store", title: "Store", show: (e) => literal(e.store), class: "short" }, { name: "state", title: "State", show: (e) => html`<${Badge} word=${e.state} />` },
      { name: "expires_ms", title: "Holds until", down: true, show: (e) => html`<${Time} ms=${e.expires_ms} />` }]} />`;
}

export default function People({ route }) {
  const tab = route.rest[0] || "users";
  return html`<${Head} title="People & enrolment" /><${Tabs} label="Of people" now=${tab} of=${[["users", "People", href("people")], ["enrolment", "Enrolment", href(["people", "enrolment"])],
    ["tokens", "Programs", href(["people", "tokens"])]]} />
    ${tab === "tokens" ? html`<${Tokens} query=${route.query} />` : tab === "enrolment" ? html`<${Enrolment} query=${route.query} />` : html`<${Users} query=${route.query} />`}`;
}
