// What an admin sees and does in the console, in a real browser; console.py has made the company. Each check says what it looks at.
import fs from "node:fs";
import path from "node:path";
import { act, api, browser, check, complaints, ctl, done, enroll, equal, expected, findings, ok, person, satchel, settled, sign, sync, until, visit, watching, world } from "./driver.mjs";

const page = await person();
const [first, second] = world.contacts;
const device = Object.fromEntries(ctl("device", "list").map((d) => [d.name, d]));
const key = (id) => encodeURIComponent(`x'${id}'`);
const button = (name, exact = true) => page.getByRole("button", { name, exact });

// ---- signing in ----

await check("a wrong password is refused in words", async () => {
  await page.goto(`${world.url}/`);
  await page.getByLabel("Name").fill("admin");
  await page.getByLabel("Password").fill("not the password");
  await button("Sign in").click();
  await page.getByRole("alert").getByText("do not fit").waitFor();
  ok(expected(/401/) > 0, "the browser saw no 401");
});

await check("who signs in sees the overview, and no script can read the cookie", async () => {
  await sign(page, "admin", world.password);
  await settled(page);
  equal(await page.locator("h1").innerText(), "Overview", "the first view");
  equal(await page.evaluate(() => document.cookie), "", "cookies that a script reads");
  const [cookie] = await page.context().cookies();
  equal([cookie.name, cookie.secure, cookie.httpOnly, cookie.sameSite], ["__Host-satchel", true, true, "Strict"], "the cookie");
});

await check("the page weighs less than 300 KB", async () => {
  const files = fs.readdirSync(path.join(process.env.SATCHEL_BUILD, "server/console/page"), { recursive: true, withFileTypes: true }).filter((f) => f.isFile() && /\.(js|css|html|svg)$/.test(f.name));
  let served = 0;
  let plain = 0;
  for (const f of files) {
    const name = path.relative(path.join(process.env.SATCHEL_BUILD, "server/console/page"), path.join(f.parentPath ?? f.path, f.name));
    const r = await page.evaluate(async (n) => {
      const answer = await fetch(`/console/${n}`, { cache: "reload" });
      await answer.arrayBuffer();
      const entry = performance.getEntriesByName(answer.url).pop();
      return { status: answer.status, encoded: entry.encodedBodySize, decoded: entry.decodedBodySize };
    }, name);
    equal(r.status, 200, name);
    served += r.encoded;
    plain += r.decoded;
  }
  console.log(`         ${files.length} files, ${served} bytes as sent, ${plain} as run`);
  ok(served > 20000 && plain < 300000, `${plain} bytes`);
});

// ---- what is shown ----

await check("the overview's figures are the API's, and count who is away", async () => {
  await visit(page, "#/overview");
  const d = await api(page, "overview");
  equal(await page.locator(".headline").first().innerText(), `${d.devices.current} of ${d.devices.active} devices are current`, "the headline");
  ok(d.devices.silent >= world.silent && d.devices.late >= 1, JSON.stringify(d.devices));
  const tile = async (label) => page.locator(".tile", { has: page.getByText(label, { exact: true }) }).locator(".figure").innerText();
  equal(await tile("Silent for 24 h"), String(d.devices.silent), "silent");
  equal(await tile("Late"), String(d.devices.late), "late");
  const behind = (await api(page, "devices?filter.health=late")).items;
  equal([d.devices.late, behind.filter((b) => b.lag_ms > 3600000 && b.lag_seq > 0).length], [world.behind, world.behind], "devices that are far behind");
  equal(await tile("Clock off"), String(d.devices.clock_off), "clocks");
  equal(d.devices.clock_off, 2, "clocks that are wrong");
  equal(await tile("Refused changes open"), String(d.refusals.open), "refused");
  equal(await tile("Conflicts in 24 h"), String(d.conflicts.day), "conflicts");
  equal(d.refusals.open, 4, "refusals");
});

await check("two wrong clocks are an alert each, which leads to the device", async () => {
  await until("the alerts", async () => (await api(page, "alerts?filter.rule=clock-skew")).total >= 2);
  await visit(page, "#/alerts?filter.rule=clock-skew&sort=subject");
  equal(await page.locator("tbody td.who").allInnerTexts(), ["clock +20m", "clock -45m"], "whose");
  ok((await page.locator("tbody td.words").allInnerTexts()).every((w) => w.includes("has a clock that is off")), "the words");
  await page.getByRole("link", { name: "clock -45m" }).click();
  await page.waitForURL(new RegExp(`#/devices/${device["clock -45m"].id}$`));
});

await check("devices are filtered, sorted and paged by the server, and the address says how", async () => {
  await visit(page, "#/devices");
  const all = await api(page, "devices?limit=1");
  ok((await page.locator(".below").innerText()).includes(String(all.total)), "their number");
  equal(await page.locator("tbody tr").count(), 50, "rows of a page");
  await button("Next page").click();
  await page.getByRole("button", { name: "First page" }).waitFor();
  await settled(page);
  await visit(page, "#/devices");
  await page.getByLabel("Health").selectOption("silent");
  await settled(page);
  const silent = await api(page, "devices?filter.health=silent&limit=1");
  ok((await page.locator(".below").innerText()).includes(String(silent.total)), "the silent ones");
  await button("Last seen").click();
  await page.waitForFunction(() => document.querySelector("th[aria-sort=descending], th[aria-sort=ascending]")?.innerText.startsWith("Last seen"));
  await settled(page);
  const shown = await page.locator("tbody tr td.name").allInnerTexts();
  const hash = await page.evaluate(() => location.hash);
  ok(hash.includes("sort=-last_seen_ms") && hash.includes("filter.health=silent"), hash);
  await page.reload();
  await settled(page);
  equal(await page.locator("tbody tr td.name").allInnerTexts(), shown, "after a reload");
  await page.getByLabel("Search").fill("tablet");
  await button("Clear").waitFor();
  await visit(page, "#/devices?q=tablet");
  equal(await page.locator("tbody tr td.name").allInnerTexts(), ["tablet"], "found");
});

await check("a list is given as CSV, with the rows that the filters leave", async () => {
  await visit(page, "#/devices?filter.state=revoked");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  const lines = fs.readFileSync(await download.path(), "utf8").trim().split(/\r?\n/);
  ok(lines[0].startsWith("id,name") || lines[0].includes("name"), lines[0]);
  equal(lines.length, 2, "lines");
  ok(lines[1].includes("lost"), lines[1]);
});

await check("the feed of changes, which has no filters of its own, is given as CSV too", async () => {
  await visit(page, "#/changes?table=contact&device=phone&live=no");
  const shown = await page.locator("tbody tr").count();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  const lines = fs.readFileSync(await download.path(), "utf8").trim().split(/\r?\n/);
  equal([lines[0].slice(0, 10), lines.length - 1], ["seq,at_ms,", shown], "lines");
  ok(shown > 1 && lines.slice(1).every((line) => line.includes("phone")), lines.join("\n"));
});

await check("a list that is too long as CSV is refused in words, and no file is saved", async () => {
  await visit(page, "#/audit");
  const detail = "this list is over 48 MiB as text; filter it";
  await page.route("**/audit?*format=csv*", (r) => r.fulfill({ status: 400, contentType: "application/problem+json", json: { status: 400, code: "E_LIMIT", title: "", detail } }));
  await page.getByRole("link", { name: "CSV" }).click();
  await page.getByRole("alert").getByText(detail).waitFor();
  ok(expected(/400/) > 0, "the browser saw no 400");
  await page.unroute("**/audit?*format=csv*");
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  equal(download.suggestedFilename(), "audit.csv", "its name");
  await page.getByRole("alert").waitFor({ state: "hidden" });
});

await check("how long a device may stay offline is in the list, and how much it is to hold beside it", async () => {
  await visit(page, "#/devices?sort=days_left&filter.days_left=0..");
  const told = (await api(page, "devices?sort=days_left&filter.days_left=0..&limit=50")).items;
  const shown = await page.locator("tbody tr td[data-title='Days left']").allInnerTexts();
  equal(shown, told.map((d) => String(d.days_left)), "days left");
  ok(told.length > 10 && told[0].days_left < told.at(-1).days_left, JSON.stringify(shown));
  await visit(page, `#/devices/${device.desk.id}`);
  const held = await api(page, `devices/${device.desk.id}/rows`);
  const facts = (await page.locator(".facts").innerText()).replaceAll(",", "").replaceAll("\u00a0", " ");
  ok(held.rows > 50 && new RegExp(`Rows that it is to hold\\s+${held.rows} about [0-9.]+ [kKM]`).test(facts), `${held.rows}: ${facts}`);
  ok(/Offline days left\s+\d/.test(facts) && /Rules in force\s+heard of/.test(facts), facts);
});

await check("how long changes wait at least, what a device held last and which software it has are in the list", async () => {
  await visit(page, "#/overview");
  const oldest = page.locator(".tile", { has: page.getByText("Oldest unsent change", { exact: true }) }).locator(".figure");
  ok(/^at least \d/.test(await oldest.innerText()), await oldest.innerText());
  await visit(page, "#/devices?sort=-pending");
  ok(/^at least \d/.test(await page.locator("tbody td[data-title='Oldest waiting']").first().innerText()), "in the list");
  const told = (await api(page, "devices?sort=-pending&limit=50")).items;
  equal(await page.locator("tbody td[data-title=Rows]").allInnerTexts(), told.map((d) => (d.compared_rows === null ? "–" : String(d.compared_rows))), "rows");
  await visit(page, "#/devices?sort=-storage_percent");
  const tight = page.locator("tbody tr").first();
  equal((await tight.locator("td[data-title='Storage used']").innerText()).trim(), "90 %", "the tightest");
  equal((await tight.locator("td[data-title=Storage]").innerText()).replaceAll("\u00a0", " ").trim(), "858.3 MiB", "its files");
  ok((await api(page, "alerts?filter.state=open&filter.rule=storage-tight")).items.length === 1, "and an alert says so");
  await tight.locator("td.name a").click();
  await page.getByText(/858.3 MiB of the 953.7 MiB that there is room for/).waitFor();
  await visit(page, "#/devices?sort=-pending");
  await page.locator("tbody td.name a").first().click();
  await page.getByText(/the oldest for at least \d/).waitFor();
  const waiting = async () => /Waiting on it([^]*?)Refused/.exec((await page.locator(".facts").innerText()).replaceAll("\u00a0", " "))[1].replace(/\s+/g, " ");
  ok(/transactions?, the oldest for at least [^,]* contact 1,200 changes visit 1 change as told .* ago/.test(await waiting()), await waiting());
  const route = `**/v1/admin/devices/${told[0].id}`;
  await page.route(route, async (r) => r.fulfill({ json: { ...await (await r.fetch()).json(), pending_tables: null } }));
  await page.reload();
  await page.getByText("it did not tell in which tables").waitFor();
  await page.unroute(route);
  await visit(page, "#/devices");
  const [most] = (await api(page, "software?sort=-devices&limit=1")).items;
  await page.getByLabel("Software").selectOption(most.software);
  await page.waitForFunction(() => location.hash.includes("filter.software="));
  await settled(page);
  ok((await page.locator(".below").innerText()).includes(`${most.devices}`), "those that have it");
});

await check("refused changes are counted by code above their list, over all pages, and a code is a filter", async () => {
  await visit(page, "#/refusals");
  const by = page.getByRole("group", { name: "By code" }).getByRole("button");
  const texts = async () => (await by.allInnerTexts()).map((t) => t.replace(/\s/g, " "));
  const told = (await api(page, "refusals?counts=code&limit=1")).counts;
  equal(told.map((c) => [c.value, c.count]), [["E_FOREIGN_KEY", 3], ["E_SERVER_OWNED", 1]], "the API's counts");
  equal(await texts(), told.map((c) => `${c.value} ${c.count}`), "the page's");
  await by.last().click();
  await page.waitForFunction(() => location.hash.includes("filter.code=E_SERVER_OWNED"));
  await settled(page);
  equal(await page.locator("tbody tr td[data-title=Code]").allInnerTexts(), ["E_SERVER_OWNED"], "what is left");
  equal([(await texts()).length, await by.last().getAttribute("aria-pressed")], [2, "true"], "the codes meanwhile");
  await page.screenshot({ path: path.join(world.shots, "refusals-by-code.png") });
  await by.last().click();
  await page.waitForFunction(() => !location.hash.includes("filter.code"));
  await settled(page);
  equal(await page.locator("tbody tr").count(), 4, "without the filter");
  await page.locator("tbody tr", { hasText: "E_SERVER_OWNED" }).getByRole("link").first().click();
  await page.getByText("As JSON").click();
  equal(JSON.parse(await page.locator("details.card pre").innerText())[0].table, "contact", "the payload");
});

await check("what failed of automations is a list of its own, and is tried again without a change", async () => {
  await visit(page, "#/automations?q=thank-you");
  await page.locator("tbody td[data-title=Failed] a").click();
  await page.waitForFunction(() => location.hash.startsWith("#/automations/failed"));
  await settled(page);
  const told = await api(page, "automation_runs?filter.failed=1&filter.name=thank-you");
  equal(await page.locator("tbody tr").count(), told.items.length, "rows");
  ok(told.items.length === 3 && (await page.getByRole("group", { name: "By automation" }).innerText()).includes("thank-you"), JSON.stringify(told.items));
  ok((await page.locator("tbody tr td[data-title='In words']").first().innerText()).length > 10, "no words");
  const before = (await api(page, "automation_runs?limit=1")).total;
  const dialog = await act(page, page.locator("tbody tr").first().getByRole("button", { name: "Try" }), {}, "stays");
  await dialog.getByText("E_KEY_TAKEN").or(dialog.locator("pre")).first().waitFor();
  expected(/4\d\d/);
  await dialog.getByRole("button", { name: /Close|Cancel/ }).first().click();
  equal((await api(page, "automation_runs?limit=1")).total, before, "runs that are noted");
});

await check("profiles with about what their devices hold, migrations, software and versions are lists with CSV", async () => {
  await visit(page, "#/scope");
  const agent = (await api(page, "profiles")).items.find((p) => p.name === "agent");
  const row = page.locator("section[aria-label=Profiles] tbody tr").filter({ has: page.getByRole("link", { name: "agent", exact: true }) });
  const cell = async (title) => (await row.locator(`td[data-title='${title}']`).innerText()).replaceAll(",", "");
  equal([await cell("Devices"), await cell("Rows, about")], ["1", String(agent.rows)], "the agent's");
  equal(agent.rows, (await api(page, `devices/${device.desk.id}/rows`)).rows, "the only one's");
  const csv = async (place, caption) => {
    await visit(page, place);
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator(`section[aria-label^="${caption}"]`).getByRole("link", { name: "CSV" }).click()]);
    return fs.readFileSync(await download.path(), "utf8").trim().split(/\r?\n/).length - 1;
  };
  for (const [place, caption, list] of [["#/scope", "Profiles", "profiles"], ["#/scope", "Versions", "scope_versions"], ["#/system", "Migrations", "migrations"], ["#/system", "Software", "software"], ["#/system/backups", "Epochs", "epochs"]]) {
    equal(await csv(place, caption), (await api(page, `${list}?limit=1`)).total, list);
  }
  await visit(page, "#/system?migrations.filter.devices=1..");
  equal(await page.locator("section[aria-label^=Migrations] tbody tr").count(), (await api(page, "migrations?filter.devices=1..")).total, "migrations that devices are at");
});

const VIEWS = {
  overview: "overview", devices: "devices", device: `devices/${device.phone.id}`, "device-rows": `devices/${device.phone.id}/rows`, "device-table": `devices/${device.phone.id}/rows?table=contact`,
  "device-refused": `devices/${device.till.id}/refusals`, "device-conflicts": `devices/${device.phone.id}/conflicts`, "device-changes": `devices/${device.phone.id}/changes`, "device-events": `devices/${device.phone.id}/events`,
  charts: "charts", alerts: "alerts", "alert-rules": "alerts/rules", silences: "alerts/silences", conflicts: "conflicts", conflict: "conflicts/1", refusals: "refusals", refusal: null, changes: "changes",
  reports: "reports", "reports-all": "reports/all", report: "reports/pipeline_by_stage", data: "data", table: "data/contact", row: `data/contact/${key(first)}`, history: `data/contact/${key(first)}/history`,
  scope: "scope", "scope-try": "scope/try", grants: "scope/grants", explain: "explain", explained: `explain?device=phone&table=contact&key=${key(first)}`, "explain-users": "explain/users", "explain-user": `explain/user?user=${key(world.rep)}&profile=agent`, automations: "automations", "automation-runs": "automations/runs", "automations-failed": "automations/failed",
  people: "people", enrolment: "people/enrolment", tokens: "people/tokens", audit: "audit", system: "system", backups: "system/backups", events: "system/events",
};
VIEWS.refusal = `refusals/${encodeURIComponent((await api(page, "refusals?limit=1")).items?.[0]?.id)}`;

const tests = { light: { width: 1360, height: 900 }, dark: { width: 1360, height: 900 }, phone: { width: 360, height: 740 } };
fs.mkdirSync(world.shots, { recursive: true });

/** Nothing is wrong with the view as it stands: words, width, axe. */
async function sound(name, how) {
  const text = await page.locator("main").innerText();
  ok(!/did not work|may not see|no such thing|Loading/.test(text), `${name}: ${text.slice(0, 600)}`);
  ok((await page.locator("main").innerText()).length > 30, `${name} is empty`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  ok(wide <= 0, `${name} in ${how} is ${wide} px wider than the window`);
}

/** A dialog with fields, one for what cannot be taken back, and one with a result. Each opens by itself and closes without having done anything. */
const DIALOGS = {
  "dialog-fields": async () => {
    await visit(page, "#/alerts/rules");
    await button("Make a rule").click();
  },
  "dialog-danger": async () => {
    await visit(page, `#/devices/${device.drawer.id}`);
    await button("Wipe").click();
  },
  "dialog-result": async () => {
    await visit(page, "#/automations?q=forecast-keep");
    const dialog = await act(page, page.locator("tbody tr").first().getByRole("button", { name: "Try" }), {}, "stays");
    await dialog.locator("pre").waitFor();
  },
};

/** Serious findings, and whether anything of it is beside the window. */
async function picture(of, name, how, whole) {
  const found = (await findings(of)).map((f) => `${name} in ${how}: axe: ${f}`);
  const beside = await of.evaluate(() => [document.documentElement, ...document.querySelectorAll("dialog[open]")].map((e) => Math.max(e.scrollWidth - e.clientWidth, e.getBoundingClientRect().right - innerWidth)));
  await of.screenshot({ path: path.join(world.shots, `${name}-${how}.png`), fullPage: whole });
  return [...found, ...beside.filter((px) => px > 0).map((px) => `${name} in ${how} is ${px} px too wide`)];
}

for (const [how, size] of Object.entries(tests)) {
  await check(`signing in and dialogs in ${how}: whole, accessible, pictured`, async () => {
    const wrong = [];
    const stranger = await person({ viewport: size, colorScheme: how === "dark" ? "dark" : "light" });
    await stranger.goto(`${world.url}/`);
    await stranger.getByLabel("Password").waitFor();
    wrong.push(...(await picture(stranger, "login", how, true)));
    await stranger.context().close();
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: how === "dark" ? "dark" : "light" });
    for (const [name, open] of Object.entries(DIALOGS)) {
      await open();
      const dialog = page.getByRole("dialog");
      await dialog.waitFor();
      ok((await dialog.innerText()).length > 60, `${name} is empty`);
      wrong.push(...(await picture(page, name, how, false)));
      await dialog.getByRole("button", { name: /Cancel|Close/ }).first().click();
    }
    await page.setViewportSize(tests.light);
    await page.emulateMedia({ colorScheme: "light" });
    ok(wrong.length === 0, wrong.join("\n"));
  });

  await check(`every view in ${how}: whole, accessible, pictured`, async () => {
    const wrong = [];
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: how === "dark" ? "dark" : "light" });
    for (const [name, place] of Object.entries(VIEWS)) {
      try {
        await visit(page, `#/${place}`);
        await sound(name, how);
        const found = await findings(page);
        if (found.length) wrong.push(`${name}: axe: ${found.join("; ")}`);
      } catch (e) {
        wrong.push(e.message.slice(0, 700));
      }
      await page.screenshot({ path: path.join(world.shots, `${name}-${how}.png`), fullPage: true });
    }
    await page.setViewportSize(tests.light);
    await page.emulateMedia({ colorScheme: "light" });
    ok(wrong.length === 0, wrong.join("\n"));
  });
}

await check("every chart is drawn, and its figures are the API's", async () => {
  await visit(page, "#/nowhere");
  const answer = page.waitForResponse(/\/v1\/admin\/samples/);
  await visit(page, "#/charts");
  const told = await (await answer).json();
  const names = await page.locator(".chart").evaluateAll((all) => all.map((c) => c.dataset.chart));
  ok(names.length >= 5, names.join(" "));
  const drawn = await page.locator(".chart canvas").evaluateAll((all) => all.map((c) => {
    const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    return data.some((v) => v !== 0);
  }));
  ok(drawn.length === names.length && drawn.every(Boolean), `canvases: ${drawn}`);
  const shown = await page.locator(".chart").evaluateAll((all) => Object.fromEntries(all.flatMap((c) => c.dataset.chart.split(",").map((name, i) => [name,
    [...c.querySelectorAll("details tbody tr")].map((tr) => tr.querySelectorAll("td[data-value]")[i]?.dataset.value ?? null)]))));
  for (const s of told.series) {
    ok(s.values.some((v) => v !== null), `${s.name} has no figures`);
    equal(shown[s.name].map((v) => (v === null || v === "" ? null : Number(v))), s.values, s.name);
  }
});

/** What the charts of a page tell as tables: by title, a row's label and its figures. All of them are drawn. */
async function chartsOf(page) {
  const charts = await page.locator(".chart").evaluateAll((all) => all.map((c) => {
    const canvas = c.querySelector("canvas");
    const drawn = Boolean(canvas) && canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((v) => v !== 0);
    return { title: c.querySelector("figcaption").firstElementChild.innerText, drawn, names: c.dataset.chart.split(","), rows: [...c.querySelectorAll("details tbody tr")].map((tr) => [tr.cells[0].textContent,
      ...[...tr.querySelectorAll("td.right")].map((td) => (td.dataset.value === undefined || td.dataset.value === "" || td.dataset.value === "null" ? null : Number(td.dataset.value)))]) };
  }));
  equal(charts.filter((c) => !c.drawn).map((c) => c.title), [], "charts that are not drawn");
  return charts;
}

await check("the charts of the overview and of a device are drawn, with the API's figures", async () => {
  await visit(page, "#/nowhere");
  const answer = page.waitForResponse(/\/v1\/admin\/samples/);
  await visit(page, "#/overview");
  const told = await (await answer).json();
  await page.locator(".chart canvas").last().waitFor();
  const charts = await chartsOf(page);
  equal(charts.flatMap((c) => c.names).sort(), told.series.map((s) => s.name).sort(), "series of the overview");
  for (const s of told.series) {
    const chart = charts.find((c) => c.names.includes(s.name));
    ok(s.values.some((v) => v !== null), `${s.name} has no figures`);
    equal(chart.rows.map((r) => r[1 + chart.names.indexOf(s.name)]), s.values, s.name);
  }
  await visit(page, `#/devices/${device.phone.id}`);
  const syncs = (await api(page, `devices/${device.phone.id}/syncs?limit=500&sort=begun_ms`)).items;
  await page.locator(".chart canvas").last().waitFor();
  const [connections, clock, ...others] = await chartsOf(page);
  equal([others.length, connections.title, clock.title, connections.rows.length > 1], [0, "Connections", "Clock", true], "charts of a device");
  equal(connections.rows.map((r) => r.slice(1)), syncs.map((y) => (y.end ? [null, y.ms] : [y.ms, null])), "its connections");
  equal(clock.rows.map((r) => r[1]), syncs.map((y) => y.clock_offset_ms), "its clock");
});

await check("what a device's connections told of its clock and versions is drawn and listed as the API has it", async () => {
  const id = device["clock -45m"].id;
  await visit(page, `#/devices/${id}`);
  const { versions } = await api(page, `devices/${id}`), syncs = (await api(page, `devices/${id}/syncs?sort=begun_ms`)).items;
  await page.locator(".chart canvas").last().waitFor();
  const clock = (await chartsOf(page)).find((c) => c.title === "Clock");
  equal(clock.rows.map((r) => r[1]), syncs.map((y) => y.clock_offset_ms), "its clock");
  ok(clock.rows.every((r) => Math.abs(r[1] + 2700000) < 60000), JSON.stringify(clock.rows));
  const rows = await page.locator("table.versions tbody tr").evaluateAll((all) => all.map((tr) => [Date.parse(tr.querySelector("time").dateTime), tr.cells[1].innerText, Number(tr.cells[2].innerText)]));
  equal(rows, versions.map((v) => [v.since_ms, v.software, v.schema_epoch]), "its versions");
  equal([versions.length, versions.at(-1).since_ms], [1, syncs[0].begun_ms], "since it first came");
  await page.screenshot({ path: path.join(world.shots, "device-clock.png"), fullPage: true });
});

await check("a chart is looked at more closely by drawing over it, and over other times", async () => {
  await visit(page, "#/charts?range=1h");
  const figures = (name) => page.locator(`.chart[data-chart=${name}] details tbody tr`).evaluateAll((all) => all.map((tr) => {
    const v = tr.lastElementChild.dataset.value;
    return v === undefined ? null : Number(v);
  }));
  const online = async () => (await figures("online")).filter((v) => v !== null).length;
  const asking = async (act) => {
    const answer = page.waitForResponse(/\/v1\/admin\/samples/);
    await act();
    await answer;
    await settled(page);
    return Object.fromEntries(new URLSearchParams((await page.evaluate(() => location.hash)).split("?")[1]));
  };
  const plot = page.locator(".chart[data-chart=online] .u-over");
  await plot.scrollIntoViewIfNeeded();
  const box = await plot.boundingBox();
  const { from_ms, to_ms } = await asking(async () => {
    await page.mouse.move(box.x + box.width * 0.3, box.y + 50);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 });
    await page.mouse.up();
  });
  const minutes = (to_ms - from_ms) / 60000;
  ok(minutes >= 17 && minutes <= 21, `${minutes} minutes of an hour, of which three tenths were drawn over`);
  const told = await api(page, `samples?from_ms=${from_ms}&to_ms=${to_ms}`);
  ok(told.times_ms.length >= 17 && told.times_ms.every((ms) => ms >= from_ms && ms <= to_ms), JSON.stringify(told.times_ms));
  for (const name of ["online", "pushed"]) equal(await figures(name), told.series.find((s) => s.name === name).values, name);
  await page.screenshot({ path: path.join(world.shots, "charts-zoomed.png") });
  await asking(() => page.getByRole("button", { name: "Back from" }).click());
  const hour = await online();
  equal((await asking(() => button("6 hours").click())).range, "6h", "the range of the address");
  equal(await button("6 hours").getAttribute("aria-pressed"), "true", "the range that is pressed");
  const more = await online();
  ok(hour >= 50 && hour <= 61 && more > 100, `${hour} figures of an hour, ${more} of six`);
  await page.getByText("Other times").click();
  const zone = await page.evaluate(() => new Date().getTimezoneOffset() * 60000);
  const typed = (ago) => new Date(Date.now() - ago - zone).toISOString().slice(0, 16);
  await page.getByLabel("From").fill(typed(7200000));
  await page.getByLabel("To", { exact: true }).fill(typed(5400000));
  const asked = await asking(() => button("Show").click());
  ok(Math.abs(asked.to_ms - asked.from_ms - 1800000) <= 60000, JSON.stringify(asked));
  const half = await online();
  ok(half >= 28 && half <= 32, `${half} figures of the half hour that was typed`);
});

// What each chart of reports is to show: view, label, which rows, and its series: a column's sum, or its mean [column, weight].
const all = () => true;
const REPORTS = {
  "Pipeline by stage": ["pipeline_by_stage", "stage", (r) => r.kind === "open", "cents", "weighted_cents"], "Deals by stage": ["pipeline_by_stage", "stage", all, "deals"],
  "Forecast by month": ["forecast_weighted", "month", all, "open_cents", "weighted_cents"], "Won and lost by month": ["closing_rate", "month", all, "won", "lost"],
  "Closing rate by month": ["closing_rate", "month", all, [(r) => r.rate_bp, (r) => r.won + r.lost]], "Leads by source": ["leads_by_source", "source", all, "leads", "qualified", "converted"],
  "Mean score of leads by source": ["leads_by_source", "source", all, [(r) => (r.scored ? r.points / r.scored : null), (r) => r.scored]], "Tickets by month": ["tickets_figures", "month", all, "opened", "resolved"],
  "Response and resolution times": ["tickets_figures", "month", all, [(r) => r.first_response_ms, (r) => r.responded], [(r) => r.resolution_ms, (r) => r.resolved]],
  "Satisfaction by team": ["csat_by_team", "team", all, [(r) => r.csat_hundredths, (r) => r.csat_n]],
};

function figureOf(rows, of) {
  if (typeof of === "string") return rows.reduce((n, r) => n + r[of], 0);
  const [value, weight] = of;
  const counted = rows.filter((r) => value(r) !== null && weight(r));
  return counted.length ? Math.round(counted.reduce((n, r) => n + value(r) * weight(r), 0) / counted.reduce((n, r) => n + weight(r), 0)) : null;
}

await check("every chart of the reports adds up to the API's rows, and says what it does not know", async () => {
  await visit(page, "#/reports");
  await page.locator(".chart").nth(9).waitFor();
  await settled(page);
  const charts = await chartsOf(page);
  equal(charts.map((c) => c.title), Object.keys(REPORTS), "the charts");
  for (const chart of charts) {
    const [view, label, where, ...series] = REPORTS[chart.title];
    const rows = (await api(page, `reports/${view}?limit=1000`)).items.filter(where);
    const name = (r) => (r[label] === null ? "not said" : String(r[label]));
    const wanted = [...new Set(rows.map(name))].map((n) => [n, ...series.map((of) => figureOf(rows.filter((r) => name(r) === n), of))]);
    equal([...chart.rows].sort(), wanted.sort(), chart.title);
    ok(chart.rows.some((r) => r.slice(1).some((v) => v > 0)), `${chart.title} has no figures`);
  }
  const told = await api(page, "reports/pipeline_by_stage?limit=1");
  const words = await page.locator("[data-report=pipeline_by_stage]").first().innerText();
  ok(words.includes(told.devices_waiting ? "unsent changes" : "no device has unsent changes"), words);
});

await check("what comes from a device is text, wherever it is shown", async () => {
  const hostile = device[world.hostile.slice(0, 100)];
  const strange = (await api(page, "devices?q=onerror")).items.find((d) => d.id !== hostile.id);
  const tag = encodeURIComponent(`x'${second}','${world.hostile.replaceAll("'", "''")}'`);
  const [refusal] = (await api(page, `refusals?filter.device_id=${hostile.id}`)).items;
  const plain = async (place) => {
    ok((await page.title()) !== "owned", `${place}: a script ran`);
    equal(await page.locator("main img, main script, dialog img, dialog script").count(), 0, `${place}: elements of a device's making`);
  };
  for (const [from, to] of [[hostile.name, `${hostile.name}!`], [`${hostile.name}!`, hostile.name]]) ctl("device", "rename", from, to); // For an event that tells of it.
  ctl("alert", "set", "refusal-open", "--threshold", "0");
  await until("an alert of it", async () => (await api(page, `alerts?filter.device_id=${hostile.id}`)).total > 0);
  // Where its text is certain to stand, and where it may.
  const certain = ["devices?q=onerror", `devices/${hostile.id}`, `devices/${hostile.id}/events`, `devices/${strange.id}`, "system?q=", "conflicts", `devices/${hostile.id}/conflicts`, "refusals", `refusals/${encodeURIComponent(refusal.id)}`,
    `changes?table=contact_tag`, `changes?device=${encodeURIComponent(hostile.name)}`, `data/contact/${key(second)}`, `data/contact/${key(second)}/history`, "data/contact?q=onerror", "data/contact_tag?q=onerror", `data/contact_tag/${tag}`,
    `data/contact_tag/${tag}/history`, "alerts?q=onerror", "system/events?q=onerror", "explain?q=onerror", `explain?device=${encodeURIComponent(hostile.name)}&table=contact_tag&key=${tag}`, "automations/failed?filter.name=tag-twice", "audit?q=onerror"];
  for (const place of [...certain, "overview", "reports", "reports/all", "scope", "charts"]) {
    await visit(page, `#/${place}`);
    await plain(place);
    if (certain.includes(place)) ok((await page.locator("main").innerText()).includes("<img src=x onerror"), `${place}: the text is not shown`);
  }
  ok(strange.software.includes(world.hostile) && strange.platform.includes(world.hostile), JSON.stringify(strange));
  for (const [place, name] of [[`devices/${hostile.id}`, "Rename"], [`devices/${hostile.id}`, "Pause"], [`devices/${hostile.id}`, "Wipe"], [`alerts?filter.device_id=${hostile.id}`, "Silence"]]) {
    await visit(page, `#/${place}`);
    await button(name).first().click();
    await page.getByRole("dialog").waitFor();
    ok((await page.getByRole("dialog").innerText()).includes("<img src=x onerror"), `the text is not in the dialog ${name}`);
    await plain(name);
    await page.getByRole("button", { name: "Cancel" }).click();
  }
  ctl("alert", "set", "refusal-open", "--threshold", "3600");
});

await check("by keyboard: to the content, through the menu, out of a dialog", async () => {
  await visit(page, "#/devices");
  await page.reload();
  await settled(page);
  await page.keyboard.press("Tab");
  equal(await page.evaluate(() => document.activeElement.textContent), "To the content", "the first stop");
  await page.keyboard.press("Enter");
  equal(await page.evaluate(() => document.activeElement.id), "main", "after Enter");
  await page.getByRole("link", { name: "Conflicts" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("h1")?.innerText === "Conflicts" && document.activeElement.tagName === "H1");
  await visit(page, `#/devices/${device.van.id}`);
  await button("Pause").focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  ok(await page.evaluate(() => document.querySelector("dialog").contains(document.activeElement)), "the focus is not in the dialog");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  equal(await page.evaluate(() => document.activeElement.textContent), "Pause", "after Escape");
});

await check("the theme's switch is kept over a reload", async () => {
  await visit(page, "#/overview");
  await page.getByRole("button", { name: "Dark theme" }).click();
  await page.reload();
  await settled(page);
  equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark", "theme");
  await page.getByRole("button", { name: "Light theme" }).click();
});

// ---- what is done, and its effect on a device ----

await check("a lost value is restored, and arrives on the device", async () => {
  await visit(page, `#/conflicts?filter.state=open&q=phone`);
  await page.locator("tbody tr", { hasText: "Said to the phone" }).getByRole("link").first().click();
  await page.waitForFunction(() => location.hash.startsWith("#/conflicts/"));
  await settled(page);
  const text = await page.locator("main").innerText();
  for (const words of ["Said to the phone", "Said to the tablet", "Before", "Kept", "Lost", "Now"]) ok(text.includes(words), `${words} is not in ${text}`);
  await act(page, button("Restore the lost value"));
  ok((await page.locator("main").innerText()).includes("restored"), "its state");
  sync("phone");
  sync("tablet");
  for (const name of ["phone", "tablet"]) equal(satchel(name, "sql", `SELECT job_title FROM contact WHERE id = x'${first}'`).out, "Said to the phone", name);
});

await check("the history of a row and of a field tells who, when and by which rule; and the way to the conflict", async () => {
  await visit(page, `#/data/contact/${key(first)}`);
  const fields = page.locator("tbody tr");
  ok(/lww/.test(await fields.filter({ has: page.getByRole("link", { name: "job_title", exact: true }) }).innerText()), "the field's rule");
  await page.getByRole("link", { name: "History", exact: true }).click();
  await page.getByRole("link", { name: "History", exact: true, current: "page" }).waitFor();
  await settled(page);
  const row = await api(page, `history?table=contact&key=${key(first)}`);
  equal(await fields.count(), row.items.length, "entries of the row");
  ok((await fields.last().innerText()).includes("insert"), "the oldest entry");
  await page.screenshot({ path: path.join(world.shots, "history-row.png"), fullPage: true });
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "CSV" }).click()]);
  equal(fs.readFileSync(await download.path(), "utf8").trim().split(/\r?\n/).length - 1, row.total, "lines of the history");
  await page.getByRole("textbox", { name: "Who" }).fill("phone");
  await page.keyboard.press("Tab");
  await page.waitForFunction(() => location.hash.includes("filter.device=phone"));
  await settled(page);
  equal(await fields.count(), row.items.filter((e) => e.device === "phone").length, "the phone's alone");
  await visit(page, `#/data/contact/${key(first)}`);
  await page.getByRole("link", { name: "job_title", exact: true }).click();
  await page.getByText("alone").waitFor();
  await settled(page);
  const field = await api(page, `history?table=contact&key=${key(first)}&column=job_title`);
  const shown = await fields.evaluateAll((all) => all.map((tr) => Object.fromEntries([...tr.querySelectorAll("td")].map((td) => [td.dataset.title, { text: td.innerText, at: td.querySelector("time")?.dateTime }]))));
  equal(shown.map((r) => [r.Commit.text, Date.parse(r.Made.at), Date.parse(r.Arrived.at), r.Values.text]),
    field.items.map((e) => [String(e.seq), e.made_ms, e.at_ms, `job_title ${e.values.job_title ?? "–"}`]), "the field's entries");
  const lost = shown.find((r) => r.Who.text === "tablet");
  ok(lost.Decided.text.includes("lww kept Said to the tablet of tablet; lost Said to the phone of phone"), lost.Decided.text);
  equal([shown[0].Values.text, shown.filter((r) => r.Who.text === "phone").length], ["job_title Said to the phone", 1], "the newest, and the phone's");
  await fields.filter({ hasText: "lww kept" }).getByRole("link", { name: "job_title" }).click();
  await page.waitForFunction(() => location.hash.startsWith("#/conflicts/"));
  await settled(page);
  ok((await page.locator("main").innerText()).includes("restored"), "the conflict's state");
});

await check("a conflict is accepted from the list", async () => {
  await visit(page, "#/conflicts?filter.state=open");
  const before = (await api(page, "conflicts?filter.state=open")).total;
  ok(before > 0, "none is open");
  await page.locator("tbody input[type=checkbox]").first().check();
  await act(page, button("Accept"));
  equal((await api(page, "conflicts?filter.state=open")).total, before - 1, "open ones");
});

await check("a refused change is retried with other values, and reaches the devices", async () => {
  await visit(page, "#/refusals?filter.device=till&filter.state=open&sort=at_ms");
  await page.locator("tbody tr").first().getByRole("link").first().click();
  await page.waitForFunction(() => location.hash.startsWith("#/refusals/"));
  await settled(page);
  ok((await page.locator("main").innerText()).includes("E_FOREIGN_KEY"), "its code");
  // Without a mended parent it is refused again, in words, and the dialog stays.
  const dialog = await act(page, button("Retry"), {}, "stays");
  await dialog.getByRole("alert").waitFor();
  expected(/4\d\d/);
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await button("Edit and retry").click();
  const field = page.getByRole("dialog").getByLabel("Changes, as JSON");
  const edits = JSON.parse(await field.inputValue());
  const column = Object.keys(edits[0].values).find((c) => c === "contact_id");
  ok(column, JSON.stringify(edits));
  edits[0].values.contact_id = { base64: Buffer.from(first, "hex").toString("base64") };
  await field.fill(JSON.stringify(edits));
  await page.getByRole("dialog").locator("button[type=submit]").click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await settled(page);
  ok((await page.locator("main").innerText()).includes("retried"), "its state");
  sync("till");
  sync("phone");
  equal(satchel("phone", "sql", `SELECT count(*) FROM contact_point WHERE contact_id = x'${first}' AND value LIKE '555-010%'`).out, "1", "on the phone");
});

await check("a refused change is retried as it was, once what it lacked is there, and reaches the devices", async () => {
  satchel("phone", "sql", "INSERT INTO contact(id, given, family) VALUES(x'deadbeef', 'Late', 'Comer')");
  sync("phone");
  await visit(page, `#/refusals?filter.device_id=${device[world.hostile.slice(0, 100)].id}&filter.state=open`);
  await page.locator("tbody tr").first().getByRole("link").first().click();
  await page.waitForFunction(() => location.hash.startsWith("#/refusals/"));
  await settled(page);
  await act(page, button("Retry"));
  ok(/State\s+retried/.test(await page.locator("main").innerText()), "its state");
  sync("phone");
  equal(satchel("phone", "sql", "SELECT value FROM contact_point WHERE contact_id = x'deadbeef'").out, "555-0102", "on the phone");
});

await check("a refused change is discarded, and leaves the device's list", async () => {
  await visit(page, "#/refusals?filter.device=till&filter.state=open");
  await page.locator("tbody input[type=checkbox]").first().check();
  await act(page, page.locator(".bulk").getByRole("button", { name: "Discard" }));
  // A device that goes as soon as it is in step may not stay to hear it.
  await watching("till", () => satchel("till", "sql", "SELECT count(*) FROM satchel_rejected").out === "0", "the till's list to be empty");
});

await check("a device is paused and resumed, and is told so", async () => {
  await visit(page, `#/devices/${device.van.id}`);
  await act(page, button("Pause"));
  ok((await page.locator(".facts").innerText()).includes("paused"), "its state");
  await until("the device to be told", () => {
    const paused = satchel("van", "sync", "--timeout", "3");
    ok(paused.status !== 0, paused.text);
    return /paus/i.test(paused.text);
  });
  await act(page, button("Resume"));
  sync("van");
});

await check("where something fails for one of several devices, which one is told; what none of them can is not offered", async () => {
  await visit(page, "#/devices?q=load-&sort=name");
  const names = (await page.locator("tbody tr td.name").allInnerTexts()).slice(0, 3);
  for (let i = 0; i < names.length; i++) await page.locator("tbody input[type=checkbox]").nth(i).check();
  const offered = await page.locator(".bulk button").allInnerTexts();
  ok(offered.includes("Pause") && offered.includes("Wipe") && !offered.includes("Resume") && !offered.includes("Remove"), offered.join());
  await page.locator(".bulk").getByRole("button", { name: "Pause" }).click();
  ctl("device", "revoke", names[0]);
  const dialog = page.getByRole("dialog");
  await dialog.locator("button[type=submit]").click();
  const words = await dialog.getByRole("alert").innerText();
  ok(words.includes("2 done, 1 failed:") && words.includes(`${names[0]}: `) && !words.includes(names[1]), words);
  ok(expected(/4\d\d/) > 0, "nothing failed");
  await page.screenshot({ path: path.join(world.shots, "some-failed.png") });
  await dialog.getByRole("button", { name: "Close" }).click();
  await settled(page);
  equal((await api(page, "devices?q=load-&sort=name&limit=3")).items.map((d) => d.state), ["revoked", "paused", "paused"], "their states");
  for (const name of names.slice(1)) ctl("device", "resume", name);
});

await check("a device is renamed, gets another profile and a new snapshot", async () => {
  await visit(page, `#/devices/${device.van.id}`);
  await act(page, button("Rename"), { "New name": "delivery van" });
  equal(await page.locator("h1").innerText(), "delivery van", "its name");
  await act(page, button("Change profile"), { Profile: "till", Store: `x'${world.store}'` });
  sync("van");
  ok(Number(satchel("van", "sql", "SELECT count(*) FROM deal").out) === 0, "a till holds no deals");
  await act(page, button("Change profile"), { Profile: "full", Store: "" });
  sync("van");
  ok(Number(satchel("van", "sql", "SELECT count(*) FROM deal").out) > 0, "it has the deals again");
  // What it was sent since; the server notes connections that are over along with what it writes anyway.
  const sent = async (since) => (await api(page, `devices/${device.van.id}/syncs?limit=500&filter.begun_ms=${since}..`)).items.reduce((n, y) => n + y.sent_bytes, 0);
  const noted = async (since, enough) => {
    await until("its connection to be noted", async () => {
      ctl("alert", "on", "clock-skew");
      return (await sent(since)) > enough;
    });
    return sent(since);
  };
  const before = Date.now();
  sync("van");
  const little = await noted(before, 0);
  const ordered = Date.now();
  await act(page, button("New snapshot"));
  ok(/Snapshot\s+ordered, not fetched yet/.test(await page.locator(".facts").innerText()), "the order is shown");
  sync("van");
  await page.reload();
  await settled(page);
  ok(/Snapshot\s+none ordered/.test(await page.locator(".facts").innerText()), "it is still ordered");
  const everything = await noted(ordered, 10 * little);
  ok(little < 10000 && everything > 50000, `${everything} bytes with everything, ${little} without`);
});

await check("a connected device that is to sync now is sent away, and comes again", async () => {
  const place = `devices/${device.phone.id}`;
  const open = async () => (await api(page, `${place}/syncs?limit=1`)).items.find((y) => y.id === null);
  let before = null;
  await visit(page, `#/${place}`);
  await watching("phone", async () => {
    const now = await open();
    if (!now || before) return Boolean(now) && now.begun_ms > before.begun_ms;
    before = now;
    await act(page, button("Sync now"));
    return false;
  }, "another connection");
  ok(before !== null, "it was not connected");
});

await check("several devices are paused at once, and resumed", async () => {
  const states = () => Object.fromEntries(ctl("device", "list").filter((d) => d.name.startsWith("load-")).map((d) => [d.name, d.state]));
  await visit(page, "#/devices?q=load-&filter.state=active");
  const names = (await page.locator("tbody td.name").allInnerTexts()).slice(0, 3);
  for (let i = 0; i < 3; i++) await page.locator("tbody input[type=checkbox]").nth(i).check();
  await act(page, page.locator(".bulk").getByRole("button", { name: "Pause" }));
  equal(Object.entries(states()).filter(([, s]) => s === "paused").map(([n]) => n).sort(), names.sort(), "who is paused");
  await visit(page, "#/devices?q=load-&filter.state=paused");
  await page.getByLabel("Select all on this page").check();
  await page.locator(".bulk").getByText("3 selected").waitFor();
  await act(page, page.locator(".bulk").getByRole("button", { name: "Resume" }));
  equal(Object.values(states()).filter((s) => s === "paused"), [], "who is still paused");
});

await check("a device is to compare its rows, and what came out is on its page", async () => {
  await visit(page, `#/devices/${device.van.id}`);
  const compared = () => page.locator(".facts").innerText();
  ok(/Compared last\s+never/.test(await compared()), "it never has");
  await act(page, button("Verify"));
  ok(/Compared last\s+never\s*, ordered/.test(await compared()), "the order is shown as waiting");
  sync("van");
  await page.reload();
  await settled(page);
  ok(/Compared last[^]*rows, all the same/.test(await compared()), await compared());
});

await check("from where a device's rows differed it is one step to its rows", async () => {
  const { id, name } = device.tablet;
  const found = [{ table: "contact", keys: "x'01' to x'02'", device_rows: 1 }];
  await page.route(`**/v1/admin/devices/${id}`, async (r) => {
    const of = await (await r.fetch()).json();
    await r.fulfill({ json: { ...of, device: { ...of.device, compared_ms: of.as_of.at_ms, compared_rows: 9, compared_ranges: 3, compared_differed: 1, compared_passed: 0 }, compared_found: found } });
  });
  await visit(page, `#/devices/${id}`);
  await page.getByText("where they differed").click();
  await page.locator(".facts").getByRole("link", { name: "contact", exact: true }).click();
  await page.getByRole("region", { name: `Rows of contact that ${name} is to hold`, exact: true }).waitFor();
  await page.unroute(`**/v1/admin/devices/${id}`);
});

await check("a device is to make a new key, and has it when it was here", async () => {
  await visit(page, `#/devices/${device.van.id}`);
  const key = async () => (await page.locator(".facts code.long").innerText()).trim();
  const facts = () => page.locator(".facts").innerText();
  const before = await key();
  ok(/Platform\s+Linux [0-9.]+; /.test(await facts()), "what it runs on");
  await act(page, button("New key"));
  ok((await facts()).includes("new one ordered"), "the order is shown as waiting");
  sync("van");
  await page.reload();
  await settled(page);
  ok(!(await facts()).includes("new one ordered") && (await key()) !== before, await facts());
});

await check("a device is revoked, and is told so", async () => {
  await visit(page, "#/devices?q=delivery");
  await page.locator("tbody input[type=checkbox]").first().check();
  await act(page, page.locator(".bulk").getByRole("button", { name: "Revoke" }));
  const revoked = satchel("van", "sync", "--timeout", "20");
  ok(revoked.status !== 0 && /revoked/i.test(revoked.text), revoked.text);
});

await check("a revoked device is removed: the list and its page have it no more, what it wrote is told as its", async () => {
  await visit(page, `#/devices/${device.van.id}`);
  await act(page, button("Remove"));
  await page.waitForURL(/#\/devices$/);
  await settled(page);
  await visit(page, "#/devices?q=delivery");
  equal(await page.locator("tbody input[type=checkbox]").count(), 0, "devices of its name");
});

await check("a device is wiped only once its name was typed, and erases its file", async () => {
  await visit(page, `#/devices/${device.drawer.id}`);
  await button("Wipe").click();
  ok(await page.getByRole("dialog").locator("button[type=submit]").isDisabled(), "the button is not held back");
  await page.getByRole("dialog").getByRole("textbox").fill("drawer");
  await page.getByRole("dialog").locator("button[type=submit]").click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  satchel("drawer", "sync", "--timeout", "20");
  ok(!fs.existsSync(world.devices.drawer) || fs.statSync(world.devices.drawer).size === 0, "its file is there");
  await page.reload();
  await settled(page);
  ok((await page.locator(".facts").innerText()).includes("wiped"), "its state");
});

await check("a device is enrolled with the code of the console, which is drawn as a QR code too", async () => {
  await visit(page, "#/people/enrolment");
  const dialog = await act(page, button("Enrol a device"), { "Name of the device": "new phone", Profile: "full" }, "stays");
  await dialog.locator("svg.qr").waitFor();
  ok((await dialog.locator("svg.qr path").getAttribute("d")).length > 500, "the QR code is empty");
  await dialog.screenshot({ path: path.join(world.shots, "enrol-dialog.png") });
  const code = await dialog.locator(".secret code").innerText();
  await dialog.getByRole("button", { name: "Close" }).click();
  const db = path.join(world.dir, "enrolled.db");
  const made = enroll(db, "new phone", code);
  equal(made.status, 0, made.stdout + made.stderr);
  equal(satchel(db, "sync", "--timeout", "60").status, 0, "its first sync");
  await visit(page, "#/devices?q=new%20phone");
  equal(await page.locator("tbody tr").count(), 1, "devices of this name");
});

await check("the dry run of other rules tells what they would do; why a device holds a row is explained", async () => {
  await visit(page, "#/scope/try");
  await page.locator("form button.primary").click();
  await page.getByText("would lie elsewhere").waitFor({ timeout: 120000 });
  ok(/0 of \d+ devices would get or lose rows/.test(await page.locator("main").innerText()), "the same rules would change something");
  await page.screenshot({ path: path.join(world.shots, "scope-dry-run.png"), fullPage: true });
  await visit(page, `#/explain?device=phone&table=contact&key=${key(first)}`);
  ok(/phone is to hold contact/.test(await page.locator("main").innerText()), "the explanation");
});

await check("a user is chosen by name, and what his devices hold leads to each; of whom there is no device, what the first is to hold", async () => {
  await visit(page, "#/explain");
  await page.getByRole("link", { name: "Users", exact: true }).click();
  await page.waitForFunction(() => location.hash.startsWith("#/explain/users"));
  await settled(page);
  const told = (await api(page, "device_users?sort=user_label&limit=50")).items;
  equal(await page.locator("tbody tr td.name").allInnerTexts(), told.map((u) => u.user_label ?? u.user ?? "nobody"), "users");
  equal(await page.locator("tbody tr td[data-title='Days silent']").allInnerTexts(), told.map((u) => (u.silent_days === null ? "–" : String(u.silent_days))), "for how long they are silent");
  ok(told.some((u) => u.silent > 0 && u.silent < u.devices), JSON.stringify(told));
  const mine = told.find((u) => u.user === `x'${world.rep}'`);
  ok(mine.user_label && mine.user_table === "user_account" && mine.profile === "agent", JSON.stringify(mine));
  await page.getByRole("link", { name: mine.user_label }).first().click();
  await page.waitForFunction(() => location.hash.startsWith("#/explain/user?"));
  await settled(page);
  const rows = async () => Number(/to hold ([0-9,]+) row/.exec(await page.locator(".headline").innerText())[1].replaceAll(",", ""));
  const held = (await api(page, `devices/${device.desk.id}/rows`)).rows;
  equal([await rows(), await page.locator("tbody tr td.name").allInnerTexts()], [held, ["desk"]], "what they hold, and his devices");
  await page.getByRole("link", { name: "Explain" }).click();
  await page.waitForFunction(() => location.hash.includes("device=desk"));
  await visit(page, "#/explain/users");
  await page.getByText("Somebody who has no device yet").click();
  await page.getByLabel("User’s key").fill(`x'${world.rep}'`);
  await page.locator("details select[name=profile]").selectOption("rep");
  await button("View").click();
  await page.getByText("There is no such device.").waitFor();
  equal(await rows(), (await api(page, `holds?user=${key(world.rep)}&profile=rep`)).rows, "as a rep");
});

await check("a dry run that touches many devices tells whose they are, and shows the first, or those of whom one asks", async () => {
  const of = (n) => ({ device: `d${n}`, profile: "rep", user: n === 77 ? "'zoe'" : `${n}`, known: true, masks_change: false, gets: { contact: n + 1 }, loses: {} });
  const report = { moved: 9, devices: Array.from({ length: 120 }, (_, n) => of(n)) };
  await page.route("**/commands/scope.dry_run", (r) => r.fulfill({ json: { report } }));
  await visit(page, "#/scope/try");
  await page.locator("form button.primary").click();
  await page.getByText("The first 50 of 120.").waitFor();
  equal(await page.locator("tbody tr").count(), 50, "rows");
  await page.screenshot({ path: path.join(world.shots, "scope-dry-run-many.png"), fullPage: true });
  await page.getByLabel("Device, profile or user").fill("ZOE");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  ok(/d77\s+rep\s+zoe/.test(await page.locator("tbody tr").innerText()), "whose it is");
  await page.unroute("**/commands/scope.dry_run");
});

await check("a device is given a row for a while, gets it, is told why it has it, and loses it when that is ended", async () => {
  const [, , , row] = world.contacts;
  const held = () => {
    sync("desk");
    return satchel("desk", "sql", `SELECT count(*) FROM contact WHERE id = x'${row}'`).out;
  };
  equal(held(), "0", "rows before");
  await visit(page, `#/explain?device=desk&table=contact&key=${key(row)}`);
  ok(/desk is not to hold contact/.test(await page.locator("main").innerText()), "the explanation before");
  await visit(page, "#/scope/grants");
  const until = new Date(Date.now() + 2 * 86400000).toISOString().slice(0, 16);
  await act(page, button("Give a row"), { Device: "desk", Table: "contact", "Row's key": `x'${row}'`, Until: until, Why: "to call back" });
  const given = page.locator("tbody tr", { hasText: "to call back" });
  equal(await given.count(), 1, "grants in the list");
  await page.screenshot({ path: path.join(world.shots, "grants-given.png") });
  equal(held(), "1", "rows after");
  await visit(page, `#/explain?device=desk&table=contact&key=${key(row)}`);
  ok(/desk is to hold contact/.test(await page.locator("main").innerText()) && /was given to it until .*to call back/.test(await page.locator(".steps").innerText()), "the explanation after");
  await visit(page, "#/scope/grants");
  await act(page, given.getByRole("button", { name: "End" }));
  equal([await given.count(), held()], [0, "0"], "when it is ended");
});

await check("other rules are published after a dry run has shown what they do, and a device gets what they give it", async () => {
  sync("desk");
  const cards = () => Number(satchel("desk", "sql", "SELECT count(*) FROM loyalty_card").out);
  equal(cards(), 0, "cards before");
  const before = await api(page, "scope");
  const all = (await api(page, "tables?limit=1000")).items.find((t) => t.name === "loyalty_card").rows;
  await visit(page, "#/scope/try");
  await page.getByLabel("Rules").fill(`${before.text}\nINSERT INTO scope_bucket(tbl, name) VALUES('loyalty_card', 'desk');\n`);
  await button("Publish…").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("These rules were not tried in a dry run").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await button("Dry run").click();
  await page.getByText(`${all} rows would lie elsewhere; 1 of`).waitFor({ timeout: 120000 });
  equal(await page.locator("tbody tr").allInnerTexts(), [`desk\tagent\tx'${world.rep}'\t${all} loyalty_card ${all}\t0\t–`], "the devices that it would touch");
  equal([(await api(page, "scope")).version, cards()], [before.version, 0], "nothing is published yet");
  await page.screenshot({ path: path.join(world.shots, "scope-dry-run-cards.png"), fullPage: true });
  await button("Publish…").click();
  await dialog.getByText(`The dry run of these rules says that ${all} rows would lie elsewhere`).waitFor();
  await dialog.locator("button[type=submit]").click();
  await dialog.waitFor({ state: "hidden" });
  equal((await api(page, "scope")).version, before.version + 1, "the version in force");
  await visit(page, "#/scope");
  await page.locator(".facts").getByRole("link", { name: "1", exact: true }).click();
  await page.waitForFunction(() => location.hash.startsWith("#/devices?"));
  await settled(page);
  equal(await page.locator("tbody tr td.name").allInnerTexts(), ["desk"], "who has not heard of the new rules");
  sync("desk");
  equal(cards(), all, "cards that the desk got");
  await visit(page, "#/scope");
  ok(/Version\s+2/.test(await page.locator(".facts").innerText()), "the version that is shown");
  equal(await page.locator("tbody", { hasText: "scope.sql" }).locator("tr").count(), 2, "versions");
});

await check("new rules are rolled out to some devices and taken back, and rolled out and put in force for all", async () => {
  const before = await api(page, "scope");
  const changed = before.text.replace(/('agent',\s+'SELECT ''all'', NULL) UNION ALL SELECT ''office'', NULL/, "$1");
  ok(changed !== before.text, "the rules of agents are not what this changes");
  const agents = (await api(page, "devices?filter.profile=agent&filter.state=active")).total;
  const teams = () => {
    sync("desk");
    sync("desk");
    return Number(satchel("desk", "sql", "SELECT count(*) FROM team").out);
  };
  const had = teams();
  ok(had > 0 && agents > 0, `${had} teams, ${agents} agents`);
  const rollOut = async (percent) => {
    await visit(page, "#/scope/try");
    await page.getByLabel("Name of the file").fill("agents.sql");
    await page.getByLabel("Rules").fill(changed);
    await act(page, button("Roll out…"), { Percent: percent });
    await visit(page, "#/scope");
  };
  const card = page.getByRole("region", { name: "A rollout is under way" });
  const counts = () => card.locator("tbody tr td").allInnerTexts();
  await rollOut("0");
  equal(await counts(), ["agent", String(agents), "0", "0", String(agents)], "profile, devices, under the new rules, here since, under the old");
  equal([teams(), (await api(page, "scope")).rollout.name], [had, "agents.sql"], "nobody has them yet");
  await visit(page, "#/scope/try");
  await card.waitFor();
  equal(await button("Publish…").count(), 0, "ways to publish others meanwhile");
  await act(page, button("To more devices…"), { Percent: "100" });
  equal(teams(), 0, "teams that the desk has under the new rules");
  await visit(page, "#/scope");
  equal(await counts(), ["agent", String(agents), String(agents), "1", "0"], "after that");
  await page.screenshot({ path: path.join(world.shots, "rollout.png"), fullPage: true });
  await page.setViewportSize(tests.phone);
  await page.screenshot({ path: path.join(world.shots, "rollout-phone.png"), fullPage: true });
  await page.setViewportSize(tests.light);
  await act(page, button("Abort…"));
  equal([await card.count(), (await api(page, "scope")).text === before.text, teams()], [0, true, had], "taken back");
  await rollOut("100");
  equal(teams(), 0, "teams under them again");
  await act(page, button("Finish…"));
  const after = await api(page, "scope");
  equal([await card.count(), after.text === changed, after.name, after.rollout, teams()], [0, true, "agents.sql", null, 0], "in force for all");
  equal((await api(page, "devices?filter.profile=agent&filter.state=active")).total, agents, "agents");
  await visit(page, "#/scope/try");
  await page.getByLabel("Rules").fill(before.text);
  await act(page, button("Publish…"));
  equal(teams(), had, "teams when all is as before");
});

await check("an automation is switched off and does nothing, and on again and does; trying it changes nothing; a timer is run at once", async () => {
  const name = "article-version";
  const [id, version] = satchel("phone", "sql", "SELECT hex(id), version FROM kb_article ORDER BY id LIMIT 1").out.split("\t");
  ok(Number(version) > 0, `${id} ${version}`);
  const edited = (title) => {
    satchel("phone", "sql", `UPDATE kb_article SET title = '${title}' WHERE id = x'${id}'`);
    sync("phone");
    sync("phone");
    return satchel("phone", "sql", `SELECT version FROM kb_article WHERE id = x'${id}'`).out;
  };
  await visit(page, `#/automations?q=${name}`);
  const row = page.locator("tbody tr").first();
  await act(page, row.getByRole("button", { name: "Switch off" }));
  equal([ctl("automation", "list").find((a) => a.name === name).active, edited("Without a version")], [false, version], "switched off");
  await act(page, row.getByRole("button", { name: "Switch on" }));
  equal([ctl("automation", "list").find((a) => a.name === name).active, edited("With a version")], [true, String(Number(version) + 1)], "switched on");
  const dialog = await act(page, row.getByRole("button", { name: "Try" }), { Table: "kb_article", "Row's key": `x'${id}'` }, "stays");
  await dialog.locator("pre", { hasText: "kb_article" }).waitFor();
  ok((await dialog.locator("pre").innerText()).includes(`version=${Number(version) + 2}`), await dialog.locator("pre").innerText());
  await dialog.screenshot({ path: path.join(world.shots, "automation-tried.png") });
  await dialog.getByRole("button", { name: "Close" }).click();
  sync("phone");
  equal(satchel("phone", "sql", `SELECT version FROM kb_article WHERE id = x'${id}'`).out, String(Number(version) + 1), "after trying");
  equal(satchel("phone", "sql", "SELECT count(*) FROM forecast_snapshot").out, "0", "forecasts before");
  await visit(page, "#/automations?q=forecast-keep");
  await act(page, row.getByRole("button", { name: "Run now" }));
  sync("phone");
  ok(Number(satchel("phone", "sql", "SELECT count(*) FROM forecast_snapshot").out) > 0, "the timer's rows are not on the phone");
  await visit(page, "#/automations/runs?filter.name=forecast-keep");
  equal(await page.locator("tbody tr td[data-title=Commit]").allInnerTexts(), ["timer"], "what it did");
});

await check("what failed of an automation is run again: in vain, and then, mended, with its effect on the device, and is no more among what failed", async () => {
  await visit(page, "#/automations/failed?filter.name=thank-you");
  const failed = async () => (await api(page, "automation_runs?filter.failed=1&filter.name=thank-you")).items;
  const row = page.locator("tbody tr").first();
  const [old, ...others] = await failed();
  const dialog = await act(page, row.getByRole("button", { name: "Run again" }), {}, "stays");
  await dialog.getByText("It failed again").waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await row.getByText(`again, for entry ${old.id}`).waitFor();
  const [again, ...same] = await failed();
  equal([again.replays, same.map((r) => r.id)], [old.id, others.map((r) => r.id)], "what has failed then");
  const rules = path.join(world.dir, "automation.sql");
  fs.writeFileSync(rules, fs.readFileSync(rules, "utf8").replace("INSERT INTO feedback(id) SELECT id FROM new", "INSERT INTO feedback(id, ticket_id, kind, body, at) SELECT satchel_id(id, id), ticket_id, ''text'', ''Thank you'', at FROM new WHERE kind <> ''text''"));
  ctl("automation", "publish", rules);
  await row.getByRole("button", { name: "Run again" }).click();
  await page.getByRole("dialog").waitFor();
  await page.screenshot({ path: path.join(world.shots, "automation-again.png") });
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await act(page, row.getByRole("button", { name: "Run again" }), { condition: "asked" });
  equal((await failed()).map((r) => r.id), others.map((r) => r.id), "what has failed in the end");
  await page.waitForFunction((n) => document.querySelectorAll("tbody tr").length === n, others.length);
  sync("phone");
  equal(satchel("phone", "sql", "SELECT count(*) FROM feedback WHERE body = 'Thank you'").out, "1", "its effect on the phone");
  await visit(page, `#/automations/runs?filter.id=${again.id}`);
  ok(/run again .* as entry \d+/.test(await row.innerText()), await row.innerText());
  await page.screenshot({ path: path.join(world.shots, "automation-was-again.png") });
});

await check("what failed of an automation and is not to be run again is dismissed: one, and all that are picked", async () => {
  const failed = async () => (await api(page, "automation_runs?filter.failed=1&filter.name=thank-you")).items.map((r) => r.id);
  const [first, ...others] = await failed();
  ok(others.length > 0, "there is more than one");
  await visit(page, "#/automations/failed?filter.name=thank-you");
  const row = page.locator("tbody tr").first();
  await row.getByRole("button", { name: "Dismiss" }).click();
  await page.getByRole("dialog").waitFor();
  await page.screenshot({ path: path.join(world.shots, "automation-dismiss.png") });
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
  await act(page, row.getByRole("button", { name: "Dismiss" }));
  equal(await failed(), others, "after one");
  await page.waitForFunction((n) => document.querySelectorAll("tbody tr").length === n, others.length);
  await page.getByLabel("Select all on this page").check();
  await act(page, page.getByRole("region", { name: "Selected rows" }).getByRole("button", { name: "Dismiss" }));
  equal(await failed(), [], "after the others");
  await visit(page, `#/automations/runs?filter.id=${first}`);
  ok(/dismissed/.test(await row.innerText()), await row.innerText());
  await page.screenshot({ path: path.join(world.shots, "automation-dismissed.png") });
});

await check("a row is headed by what it is called", async () => {
  const row = await api(page, `tables/contact/rows/${key(first)}`);
  ok(row.label && !row.label.includes(first), `its label: ${row.label}`);
  for (const tab of ["", "/history"]) {
    await visit(page, `#/data/contact/${key(first)}${tab}`);
    equal(await page.locator("h1").innerText(), row.label, `the heading${tab}`);
  }
});

await check("a row's page names the devices that are to hold it, and leads to them", async () => {
  await visit(page, `#/data/contact/${key(second)}`);
  const { holders, devices } = await api(page, `tables/contact/rows/${key(second)}`);
  const told = page.locator(".facts details", { has: page.locator("summary", { hasText: String(devices) }) });
  await told.locator("summary").click();
  equal(await told.locator("li a").allInnerTexts(), holders.map((h) => h.name), "their names");
  await page.screenshot({ path: path.join(world.shots, "row-holders.png") });
  await told.getByRole("link", { name: holders[1].name, exact: true }).click();
  await page.getByRole("heading", { level: 1, name: holders[1].name, exact: true }).waitFor();
});

await check("a rule of alerts is made, refused in words where it makes no sense, and edited; its alerts open and close by it", async () => {
  await visit(page, "#/alerts/rules");
  const row = page.locator("tbody tr").filter({ hasText: "clock-test" });
  const alerts = async (state) => (await api(page, `alerts?filter.rule=clock-test&filter.state=${state}&sort=subject`)).items;
  const asked = { Name: "clock-test", "What is the matter": "has another time", Metric: "device.clock_skew_s", Aggregation: "sum", "Window, in minutes": "60", Condition: ">", Threshold: "600", Severity: "info" };
  const dialog = await act(page, button("Make a rule"), asked, "stays");
  const refused = async (words) => {
    await dialog.locator("button[type=submit]").click();
    await dialog.getByRole("alert").getByText(words).waitFor();
  };
  const fill = (label, value) => dialog.getByLabel(label).first().fill(value);
  await refused("of this metric it is last or held");
  await dialog.getByLabel("Aggregation").selectOption("last");
  await refused("the value now has no window");
  await fill("Window, in minutes", "0");
  await fill("Metric", "device.mood");
  await refused("there is no metric");
  await fill("Metric", "device.clock_skew_s");
  await fill("Hours", "at night");
  await refused("hours are as in");
  await dialog.screenshot({ path: path.join(world.shots, "alert-rule-refused.png") });
  await fill("Hours", "");
  await dialog.locator("button[type=submit]").click();
  await dialog.waitFor({ state: "hidden" });
  expected(/422/);
  await settled(page);
  const rule = async () => (await api(page, "alert_rules?filter.name=clock-test")).items[0];
  const made = { name: "clock-test", metric: "device.clock_skew_s", aggregation: "last", window_s: 0, op: ">", threshold: 600, severity: "info", profile: null, hours: null, active: true, about: "has another time" };
  const plain = ({ open, ...r }) => r;
  equal(plain(await rule()), made, "the rule");
  const again = await act(page, button("Make a rule"), { ...asked, Aggregation: "last", "Window, in minutes": "0" }, "stays");
  await again.getByRole("alert").getByText("There is a rule clock-test").waitFor();
  await again.getByRole("button", { name: "Cancel" }).click();
  await until("both alerts", async () => (await alerts("open")).length === 2);
  equal((await alerts("open")).map((a) => [a.subject, a.severity]), [["clock +20m", "info"], ["clock -45m", "info"]], "its alerts");
  await act(page, row.getByRole("button", { name: "Edit" }), { Threshold: "1800", Severity: "warning", Aggregation: "held", "Window, in minutes": "0.1", Hours: "sun-sat 00:00-24:00" });
  equal(plain(await rule()), { ...made, threshold: 1800, severity: "warning", aggregation: "held", window_s: 6, hours: "sun-sat 00:00-24:00" }, "the edited rule");
  equal(await Promise.all(["How", "Over", "Profile", "Hours"].map((t) => row.locator(`td[data-title=${t}]`).innerText())), ["held", "6 s", "any", "sun-sat 00:00-24:00"], "its columns");
  await until("one to be over", async () => (await alerts("closed")).length === 1);
  equal((await alerts("closed")).map((a) => a.subject), ["clock +20m"], "whose alert is over");
  await page.screenshot({ path: path.join(world.shots, "alert-rule-edited.png") });
  await act(page, row.getByRole("button", { name: "Edit" }), { Profile: "agent" });
  equal([(await rule()).profile, (await rule()).threshold], ["agent", 1800], "the profile alone is another");
  await until("both to be over", async () => (await alerts("closed")).length === 2);
});

await check("a test is sent by the ways that are set", async () => {
  await visit(page, "#/alerts/rules");
  const told = page.getByRole("region", { name: "By what alerts are told" });
  ok(/mail off.*webhook ok/s.test(await told.innerText()), await told.innerText());
  const dialog = await act(page, button("Send a test"), {}, "stays");
  await dialog.getByText(/webhook sent/).waitFor();
  await dialog.screenshot({ path: path.join(world.shots, "alert-test.png") });
  await dialog.getByRole("button", { name: "Close" }).click();
});

await check("an alert is acknowledged, and who did it is told; of a device it is silenced for that alone, of the server as a rule", async () => {
  const [clock] = (await api(page, "devices?q=clock&filter.state=active")).items;
  for (const [name, metric, words, threshold] of [["of-a-device", "device.clock_skew_s", "other time", "600"], ["of-the-server", "server.backup_age_s", "has no backup", "-1"]]) {
    ctl("alert", "set", name, "--metric", metric, "--op", ">", "--threshold", threshold, "--about", words);
  }
  const row = page.locator("tbody tr");
  const open = async (rule, n) => {
    await until(`an alert ${rule}`, async () => (await api(page, `alerts?filter.rule=${rule}&filter.state=open`)).total >= n);
    await visit(page, `#/alerts?filter.rule=${rule}&filter.state=open&sort=subject`);
    equal(await row.count(), n, rule);
  };
  await open("of-a-device", 2);
  await row.first().getByRole("link", { name: clock.name }).click();
  await page.waitForURL(new RegExp(`#/devices/${clock.id}$`));
  await open("of-a-device", 2);
  await act(page, row.first().getByRole("button", { name: "Silence" }));
  equal((await api(page, "silences")).items.map((s) => [s.rule, s.subject, s.device_id]), [["of-a-device", clock.name, clock.id]], "silences");
  equal((await api(page, "alerts?filter.rule=of-a-device&sort=subject")).items.map((a) => a.silenced), [true, false], "which is silenced");
  await row.first().getByText("silenced").waitFor();
  await page.screenshot({ path: path.join(world.shots, "alert-silenced.png") });
  await open("of-the-server", 1);
  equal(await row.first().locator("td.who").innerText(), "server", "what it is about");
  equal(await row.first().locator("td.who a").count(), 0, "links to a device that is none");
  await act(page, row.first().getByRole("button", { name: "Silence" }));
  equal((await api(page, "silences")).items.map((s) => [s.rule, s.subject]), [["of-a-device", clock.name], ["of-the-server", null]], "silences then");
  equal((await api(page, "alerts?filter.rule=of-the-server")).items[0].silenced, true, "the server's");
  await page.locator("tbody input[type=checkbox]").first().check();
  await act(page, button("Acknowledge"));
  const acked = (await api(page, "alerts?filter.rule=of-the-server")).items[0];
  equal([acked.state, acked.acked_by], ["acked", "user:admin"], "acknowledged");
  await visit(page, "#/alerts?filter.rule=of-the-server");
  ok(/by user:admin/.test(await row.first().innerText()), await row.first().innerText());
  await visit(page, "#/alerts/silences");
  for (let left = 2; left > 0; left--) {
    equal(await row.count(), left, "silences in the list");
    await act(page, row.first().getByRole("button", { name: "End" }));
  }
  equal((await api(page, "silences")).total, 0, "silences that are left");
  for (const name of ["of-a-device", "of-the-server"]) ctl("alert", "off", name);
});

await check("a rule is silenced and switched off", async () => {
  await visit(page, "#/alerts/rules");
  const rule = (await api(page, "alert_rules?limit=1")).items[0].name;
  const row = page.locator("tbody tr").first();
  await act(page, row.getByRole("button", { name: "Silence" }));
  equal((await api(page, "silences")).items.map((s) => s.rule), [rule], "silences");
  await act(page, row.getByRole("button", { name: "Switch off" }));
  equal((await api(page, `alert_rules?q=${rule}`)).items[0].active, false, rule);
  await act(page, row.getByRole("button", { name: "Switch on" }));
  equal((await api(page, `alert_rules?q=${rule}`)).items[0].active, true, rule);
  await visit(page, "#/alerts/silences");
  await act(page, row.getByRole("button", { name: "End" }));
  equal((await api(page, "silences")).total, 0, "silences that are left");
});

await check("a token is made, used by a program, and revoked", async () => {
  await visit(page, "#/people/tokens");
  const dialog = await act(page, button("Make a token"), { Name: "erp" }, "stays");
  await dialog.locator(".secret code").waitFor();
  const token = await dialog.locator(".secret code").innerText();
  await dialog.getByRole("button", { name: "Close" }).click();
  const ask = () => page.context().request.get(`${world.url}/v1/tables`, { headers: { Authorization: `Bearer ${token}` } });
  equal((await ask()).status(), 200, "the token");
  await settled(page);
  await act(page, page.locator("tbody tr", { hasText: "erp" }).getByRole("button", { name: "Revoke" }));
  equal((await ask()).status(), 401, "the revoked token");
});

await check("a backup is made", async () => {
  await visit(page, "#/system/backups");
  const refused = await act(page, button("Make a backup"), { "Name of the backup": path.join(world.dir, "backup") }, "stays");
  await refused.getByRole("alert").getByText("a plain name").waitFor();
  expected(/422/);
  await refused.getByLabel("Name of the backup").fill("before-noon");
  await refused.locator("button[type=submit]").click();
  const made = path.join(world.data, "backups/before-noon");
  await refused.getByText(made).waitFor();
  ok(fs.existsSync(path.join(made, "manifest.json")) && !fs.existsSync(path.join(world.dir, "backup")), "where the backup is");
  await refused.getByRole("button", { name: "Close" }).click();
  await settled(page);
  ok((await page.locator("tbody").first().innerText()).includes("before-noon"), "it is not in the list");
});

await check("the newest backup is tried in a restore drill, and what came out stays; one that is damaged is told", async () => {
  await visit(page, "#/system/backups");
  const last = page.locator(".facts > div", { hasText: "Last restore drill" });
  ok((await last.innerText()).includes("none yet"), "before");
  const made = path.join(world.data, "backups/before-noon");
  const drill = async (words) => {
    const dialog = await act(page, button("Restore drill"), {}, "stays");
    await dialog.getByText(words).waitFor();
    await dialog.getByRole("button", { name: "Close" }).click();
    await settled(page);
    ok(!fs.existsSync(`${made}.drill`), "what it made is there yet");
    return last.innerText();
  };
  ok(/whole now|whole \d/.test((await drill("is whole:")).replace(/\s+/g, " ").replace("not whole", "")), "whole");
  await page.screenshot({ path: path.join(world.shots, "drill-whole.png") });
  fs.appendFileSync(path.join(made, "store.db"), "x");
  ok(/not whole/.test(await drill("is not whole:")), "damaged");
  await page.screenshot({ path: path.join(world.shots, "drill-damaged.png") });
  fs.truncateSync(path.join(made, "store.db"), fs.statSync(path.join(made, "store.db")).size - 1);
});

await check("figures move while one looks, without a reload: a code that is used, changes that devices make, a rule", async () => {
  const code = ctl("device", "add", "late comer", "--profile", "full").enrolment_code;
  const row = page.locator("tbody tr", { hasText: "late comer" });
  await visit(page, "#/people/enrolment");
  await page.evaluate(() => {
    window.same = true;
  });
  await row.getByText("open", { exact: true }).waitFor();
  equal(enroll(path.join(world.dir, "late.db"), "late comer", code).status, 0, "enrolling");
  await row.getByText("used", { exact: true }).waitFor();
  const change = (title) => {
    satchel("phone", "sql", `UPDATE contact SET job_title = '${title}' WHERE id = x'${first}'`);
    sync("phone");
  };
  await visit(page, "#/changes");
  equal(await button("Following").getAttribute("aria-pressed"), "true", "it is followed");
  change("Said meanwhile");
  await page.getByText("Said meanwhile").waitFor();
  await button("Following").click();
  await button("Follow").waitFor();
  await settled(page);
  change("Said unheard");
  await page.waitForTimeout(4000);
  equal(await page.getByText("Said unheard").count(), 0, "changes that are shown although they are not followed");
  await button("Follow").click();
  await page.getByText("Said unheard").waitFor();
  await visit(page, "#/alerts/rules");
  ctl("alert", "set", "clock-skew", "--about", "has a strange clock");
  await page.getByText("has a strange clock").waitFor();
  ctl("alert", "set", "clock-skew", "--about", "has a clock that is off");
  ok(await page.evaluate(() => window.same), "the page was loaded again");
});

await check("each row of a list has an address, which says what it asks for and can be let go of", async () => {
  const [, , , row] = world.contacts;
  ctl("scope", "grant", "--device", "desk", "--table", "contact", "--key", `x'${row}'`, "--until", "2d", "--reason", "to be shared");
  ctl("alert", "silence", "backup-old", "--for", "1h");
  ctl("device", "verify", "tablet");
  const places = ["alerts", "alerts/rules", "alerts/silences", "audit", `devices/${device.phone.id}`, `devices/${device.tablet.id}/events`, "scope/grants", "people", "people/enrolment", "people/tokens", "system/backups", "system/events",
    "automations/runs"];
  for (const place of places) {
    await visit(page, `#/${place}`);
    const total = await page.locator("tbody a.itself").count();
    ok(total > 0, `${place}: no row has an address`);
    const to = await page.locator("tbody a.itself").last().getAttribute("href");
    const said = await page.locator("tbody tr", { has: page.locator("a.itself") }).last().locator("td:not(.pick)").nth(1).innerText();
    await visit(page, to);
    const rows = page.locator("section.list").first().locator("tbody tr");
    equal(await rows.count(), 1, `${place}: rows of ${to}`);
    equal(await rows.locator("td:not(.pick)").nth(1).innerText(), said, `${place}: the row of ${to}`);
    ok((await page.locator(".others button").count()) > 0, `${place}: what is asked for is not said`);
    if (place === "audit") await page.screenshot({ path: path.join(world.shots, "audit-one.png") });
    for (let left = await page.locator(".others button").count(); left > 0; left--) {
      await page.locator(".others button").first().click();
      await page.waitForFunction((n) => document.querySelectorAll(".others button").length === n, left - 1);
    }
    await settled(page);
    ok(!(await page.evaluate(() => location.hash)).includes("filter."), `${place}: the filter is left`);
  }
  ctl("alert", "unsilence", "backup-old");
  for (const q of ["", "?table=contact&device=server"]) {
    await visit(page, `#/changes${q}`);
    const change = page.locator("tbody tr").last();
    const [commit, table, row] = await Promise.all(["Commit", "Table", "Row"].map((t) => change.locator(`td[data-title=${t}]`).innerText()));
    const to = await change.locator("a.itself").getAttribute("href");
    await visit(page, to);
    const first = page.locator("tbody tr").first();
    equal(await Promise.all(["Commit", "Table", "Row"].map((t) => first.locator(`td[data-title=${t}]`).innerText())), [commit, table, row], to);
    await button("First page").click();
    await page.waitForFunction(() => !location.hash.includes("after="));
  }
});

await check("a viewer sees and cannot act, neither in the page nor past it", async () => {
  await visit(page, "#/people");
  await act(page, button("Add somebody"), { Name: "vera", Role: "viewer", Password: "correct horse battery" });
  const vera = await person();
  await sign(vera, "vera", "correct horse battery");
  await visit(vera, `#/devices/${device.phone.id}`);
  equal(await vera.locator(".head .tools button").count(), 0, "buttons of a viewer");
  equal(await vera.getByRole("link", { name: "Audit" }).count(), 0, "what only an admin sees");
  const status = await vera.evaluate(async (name) => {
    const s = await (await fetch("/v1/session")).json();
    const r = await fetch("/v1/admin/commands/device.revoke", { method: "POST", headers: { "Content-Type": "application/json", "X-CSRF-Token": s.csrf }, body: JSON.stringify({ name }) });
    return r.status;
  }, "phone");
  equal(status, 403, "a viewer who revokes");
  expected(/403/);
  await vera.screenshot({ path: path.join(world.shots, "viewer.png") });
  sync("phone");
  await vera.getByRole("button", { name: "Sign out" }).click();
  await vera.getByRole("button", { name: "Sign in" }).waitFor();
  equal(await vera.evaluate(async () => (await fetch("/v1/session")).status), 401, "after signing out");
  expected(/401/);
});

await check("a manager does what a manager may, and cannot do what takes an admin", async () => {
  await visit(page, "#/people");
  await act(page, button("Add somebody"), { Name: "mona", Role: "manager", Password: "correct horse battery" });
  const mona = await person();
  await sign(mona, "mona", "correct horse battery");
  await visit(mona, "#/alerts?filter.rule=clock-skew&filter.state=open");
  const { total } = await api(mona, "alerts?filter.rule=clock-skew&filter.state=open");
  ok(total > 0, "no open alert");
  await mona.getByLabel("Select all on this page").check();
  await act(mona, mona.getByRole("button", { name: "Acknowledge" }));
  equal((await api(page, "alerts?filter.rule=clock-skew&filter.state=acked")).items.map((a) => a.acked_by), Array(total).fill("user:mona"), "who acknowledged");
  for (const [place, name] of [["alerts/rules", "Edit"], ["alerts/rules", "Make a rule"], ["alerts/rules", "Send a test"], [`devices/${device.phone.id}`, "Pause"], ["system/backups", "Make a backup"], ["system/backups", "Restore drill"]]) {
    await visit(mona, `#/${place}`);
    equal(await mona.getByRole("button", { name, exact: true }).count(), 0, `${name} for a manager`);
  }
  const refused = await mona.evaluate(async (name) => {
    const s = await (await fetch("/v1/session")).json();
    const r = await fetch("/v1/admin/commands/device.pause", { method: "POST", headers: { "Content-Type": "application/json", "X-CSRF-Token": s.csrf }, body: JSON.stringify({ name }) });
    return r.status;
  }, "phone");
  equal([refused, ctl("device", "list").find((d) => d.name === "phone").state], [403, "active"], "a manager who pauses");
  expected(/403/);
  await mona.context().close();
});

await check("an admin locks, unlocks and gives another password; and whoever is signed in changes his own", async () => {
  await visit(page, "#/people");
  await act(page, button("Add somebody"), { Name: "olga", Role: "viewer", Password: "seven silver spoons" });
  const row = page.locator("tbody tr", { hasText: "olga" });
  const state = () => ctl("user", "list").find((u) => u.name === "olga").state;
  await act(page, row.getByRole("button", { name: "Lock", exact: true }));
  equal(state(), "locked", "after locking");
  await act(page, row.getByRole("button", { name: "Unlock" }));
  equal(state(), "active", "after unlocking");
  await act(page, row.getByRole("button", { name: "Password" }), { Password: "eight silver spoons" });
  const olga = await person();
  await sign(olga, "olga", "eight silver spoons");
  await settled(olga);
  const mine = olga.locator("header .who");
  const dialog = await act(olga, mine, { "Password until now": "not my password", "New password": "nine silver spoons", "New password again": "nine silver spoons" }, "stays");
  await dialog.getByRole("alert").getByText("the old password is another").waitFor();
  expected(/403/);
  await dialog.getByLabel("Password until now").fill("eight silver spoons");
  await dialog.getByLabel("New password again").fill("ten silver spoons");
  await dialog.getByRole("button", { name: "Change" }).click();
  await dialog.getByRole("alert").getByText("in two ways").waitFor();
  await dialog.screenshot({ path: path.join(world.shots, "own-password.png") });
  await dialog.getByLabel("New password again").fill("nine silver spoons");
  await dialog.getByRole("button", { name: "Change" }).click();
  await olga.getByRole("button", { name: "Sign in" }).waitFor();
  await olga.waitForLoadState("networkidle");
  expected(/401/);
  await sign(olga, "olga", "nine silver spoons");
  await act(page, row.getByRole("button", { name: "Role" }), { Role: "manager" });
  await olga.reload();
  await settled(olga);
  ok((await olga.locator("header .who").innerText()).includes("manager"), "her role");
  await act(page, row.getByRole("button", { name: "Remove" }));
  equal(ctl("user", "list").filter((u) => u.name === "olga"), [], "after removing");
  await olga.reload();
  await olga.getByRole("button", { name: "Sign in" }).waitFor();
  expected(/401/);
});

await check("the audit log has all of it, and its chain is whole", async () => {
  await visit(page, "#/audit");
  const text = await page.locator("tbody").innerText();
  for (const action of ["device.wipe", "device.rotate_key", "device.revoke", "device.remove", "user.add", "token.add"]) ok(text.includes(action) || (await api(page, `audit?filter.action=${action}`)).total > 0, `${action} is not in it`);
  ok(!text.includes("correct horse battery"), "a password is in it");
  await button("Verify the chain").click();
  await page.getByText("each fits the one before").waitFor();
});

await check("who signs out is out, and a session that has ended leads to signing in", async () => {
  await visit(page, "#/devices");
  await page.context().clearCookies();
  // Not by a click: what the page asks by itself may have led to signing in before.
  await page.evaluate(() => { location.hash = "#/conflicts"; });
  await button("Sign in").waitFor();
  expected(/401/);
});

await check("nothing was in the browser's log, and nothing was asked of anybody else", async () => {
  // Of several requests that were under way when the session ended one leads to signing in, and the others are refused when they are.
  expected(/^(who signs out is out|nothing was in the browser).*401/);
  equal(complaints, [], "complaints");
});

await browser.close();
done();
