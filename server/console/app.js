// The shell: who is signed in, the way to every view, and the view that the address names.
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";
import { command, logout, onEnded, Problem, session as askSession, setSession, useData } from "./api.js";
import { confirm, DialogHost } from "./dialog.js";
import { Session, Trouble, useMay } from "./parts.js";
import { href, useRoute } from "./router.js";
import { isDark, switchTheme } from "./theme.js";
import Login from "./views/login.js";

// Each group of views: name, words, and what one must be to see it (nothing: anybody who is signed in).
const NAV = [
  ["Watch", [["overview", "Overview"], ["devices", "Devices"], ["charts", "Charts"], ["alerts", "Alerts"]]],
  ["Resolve", [["conflicts", "Conflicts"], ["refusals", "Refused changes"], ["changes", "Changes"]]],
  ["Business", [["reports", "Reports"], ["data", "Data"]]],
  ["Rules", [["scope", "Scope"], ["explain", "View as device, user"], ["automations", "Automations"]]],
  ["System", [["people", "People & enrolment", "admin"], ["audit", "Audit", "admin"], ["system", "Schema & backups"]]],
];
const VIEWS = NAV.flatMap(([, views]) => views.map(([name]) => name));

function Nav({ view, open, counts }) {
  const admin = useMay("admin");
  return html`<nav class=${`nav ${open ? "open" : ""}`} id="nav" aria-label="Views">${NAV.map(([group, views]) => html`<div key=${group} class="group">
    <h2>${group}</h2><ul>${views.filter(([, , role]) => !role || admin).map(([name, words]) => html`<li key=${name}><a href=${href(name)} aria-current=${name === view ? "page" : null}>${words}${
      counts[name] ? html`<span class="count" aria-label=${`${counts[name]} open`}>${counts[name]}</span>` : null}</a></li>`)}</ul></div>`)}</nav>`;
}

/** What waits for somebody, beside the names of the views. */
function useCounts() {
  const { data, problem } = useData("overview", {}, 15000);
  return [data ? { refusals: data.refusals.open, conflicts: data.conflicts.open, alerts: data.alerts.open } : {}, problem];
}

/** Loads the view's module when it is first looked at. */
function View({ route }) {
  const [module, set] = useState(null);
  const name = VIEWS.includes(route.view) ? route.view : "nowhere";
  const at = useRef(null);
  useEffect(() => {
    let mine = true;
    import(`./views/${name}.js`).then((m) => mine && set({ name, View: m.default }), (problem) => mine && set({ name, problem }));
    return () => {
      mine = false;
    };
  }, [name]);
  const ready = module && module.name === name;
  const place = [route.view, ...route.rest].join("/");
  useEffect(() => {
    const h1 = ready && document.querySelector("main h1");
    // Whoever comes by keyboard or hears the page begins at the new view's head; the first view leaves the page as the browser shows it.
    if (h1 && at.current !== null && at.current !== place) h1.focus();
    if (ready) at.current = place;
  }, [ready, place]);
  if (!ready) return html`<p class="waiting" role="status">Loading…</p>`;
  if (module.problem) return html`<${Trouble} problem=${module.problem} />`;
  return html`<${module.View} key=${place} route=${route} />`;
}

function Theme() {
  const [dark, set] = useState(isDark);
  useEffect(() => {
    const changed = () => set(isDark());
    addEventListener("theme", changed);
    return () => removeEventListener("theme", changed);
  }, []);
  return html`<button type="button" class="icon" onClick=${switchTheme} aria-label=${dark ? "Light theme" : "Dark theme"} title=${dark ? "Light theme" : "Dark theme"}>
    <span aria-hidden="true">${dark ? "☀" : "☾"}</span></button>`;
}

/** Whoever is signed in gives himself another password; all of his sessions end with it, this one too. */
const changePassword = (session, ended) => confirm({
  title: "Change your password", verb: "Change", words: "You are signed out everywhere then, here too, and sign in with the new one.",
  fields: [{ name: "old", label: "Password until now", type: "password", autocomplete: "current-password" },
    { name: "password", label: "New password", type: "password", help: "At least 10 characters." }, { name: "again", label: "New password again", type: "password" }],
  run: ({ old, password, again }) => {
    if (password !== again) throw new Problem(0, { detail: "The new password was typed in two ways." });
    return command("user.own_password", { old, password });
  },
  said: "Changed: sign in with the new password.", then: ended,
});

function Shell({ session, leave, ended }) {
  const route = useRoute();
  const [open, setOpen] = useState(false);
  const [counts, problem] = useCounts();
  const lost = problem && problem.code === "E_NETWORK";
  useLayoutEffect(() => {
    setOpen(false);
    scrollTo(0, 0);
  }, [route.view, route.rest.join("/")]);
  return html`
    <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); document.getElementById("main").focus(); }}>To the content</a>
    <header class="top">
      <button type="button" class="icon menu" aria-expanded=${open} aria-controls="nav" aria-label="Menu" onClick=${() => setOpen(!open)}><span aria-hidden="true">☰</span></button>
      <a class="brand" href=${href("overview")}><img src="/console/icon.svg" alt="" width="26" height="26" />Satchel</a>
      ${lost && html`<span class="badge bad" role="alert">No connection to the server</span>`}
      <span class="grow"></span>
      <button type="button" class="who" title="Change your password" onClick=${() => changePassword(session, ended)}>${session.name} <span class="faint">${session.role}</span></button>
      <${Theme} />
      <button type="button" onClick=${leave}>Sign out</button>
    </header>
    <${Nav} view=${route.view} open=${open} counts=${counts} />
    <main id="main" tabindex="-1"><${View} route=${route} /></main>`;
}

// Whether somebody is signed in only the server knows; whom this browser has never signed in need not be asked about.
const HERE = "satchel.here";

function remember(is) {
  try {
    if (is) localStorage.setItem(HERE, "1");
    else localStorage.removeItem(HERE);
  } catch {
    // A browser that keeps nothing signs in anew.
  }
}

function wasHere() {
  try {
    return localStorage.getItem(HERE) !== null;
  } catch {
    return false;
  }
}

function App() {
  const [session, set] = useState(undefined);
  const enter = (s) => {
    setSession(s);
    remember(Boolean(s));
    set(s);
  };
  useEffect(() => {
    onEnded(() => enter(null));
    if (wasHere()) askSession().then(enter, () => enter(null));
    else enter(null);
  }, []);
  const leave = () => logout().finally(() => enter(null));
  if (session === undefined) return html`<p class="waiting" role="status">Loading…</p>`;
  return html`<${Session.Provider} value=${session}>
    ${session ? html`<${Shell} session=${session} leave=${leave} ended=${() => enter(null)} />` : html`<${Login} enter=${enter} />`}
    <${DialogHost} /><//>`;
}

render(html`<${App} />`, document.getElementById("app"));
