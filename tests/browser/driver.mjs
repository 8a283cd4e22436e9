// What checks are made with: a browser that is not this machine's user's, the programs, and a list of what failed.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

export const world = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const require = createRequire(path.join(world.packages, "package.json"));
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const failed = [];
let now = "";

/** One check; the next one comes in any case. */
export async function check(name, run) {
  const only = process.env.SATCHEL_BROWSER_ONLY;
  if (only && !new RegExp(only).test(name)) return;
  now = name;
  const began = Date.now();
  try {
    await run();
    console.log(`ok       ${name} (${Date.now() - began} ms)`);
  } catch (e) {
    failed.push(name);
    console.log(`FAILED   ${name}\n${e.stack || e}`);
    let n = 0;
    for (const page of pages) {
      await page.screenshot({ path: path.join(world.shots, `failed-${failed.length}-${++n}.png`) }).catch(() => {});
      await page.goto("about:blank").catch(() => {}); // The next check finds no dialog of this one.
    }
  }
}

export function done() {
  console.log(failed.length ? `${failed.length} failed: ${failed.join("; ")}` : "all is well");
  process.exit(failed.length ? 1 : 0);
}

export function equal(got, wanted, what) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`);
}

export function ok(condition, what) {
  if (!condition) throw new Error(what);
}

// ---- the browser ----

const pages = new Set();
export const complaints = [];

export const browser = await chromium.launch({
  executablePath: world.chromium,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

/** A browser of somebody's own: no cookies yet. */
export async function person(options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  pages.add(page);
  page.on("console", (m) => {
    // What the server refuses is in the browser's log as well; a check that brings that about takes it out.
    if (["error", "warning"].includes(m.type())) complaints.push(`${now}: ${m.text()} ${m.location().url}`);
  });
  page.on("pageerror", (e) => complaints.push(`${now}: ${e.stack}`));
  page.on("request", (r) => {
    if (!r.url().startsWith(world.url) && !r.url().startsWith("data:") && !r.url().startsWith("blob:")) complaints.push(`${now}: asks for ${r.url()}`);
  });
  return page;
}

/** Asks until it is so. */
export async function until(what, condition) {
  for (const end = Date.now() + 60000; !(await condition());) {
    ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((go) => setTimeout(go, 200));
  }
}

/** What a check brings about on purpose. */
export function expected(pattern) {
  const before = complaints.length;
  for (let i = complaints.length - 1; i >= 0; i--) if (pattern.test(complaints[i])) complaints.splice(i, 1);
  return before - complaints.length;
}

export async function sign(page, name, password) {
  await page.goto(`${world.url}/`);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator(".top .who").waitFor();
}

/** Goes to a view and waits until nothing is loading. */
export async function visit(page, hash) {
  await page.goto(`${world.url}/${hash}`);
  await settled(page);
}

export async function settled(page) {
  await page.locator("main h1").first().waitFor();
  // Where only the part behind # is another the page is told of it afterwards, and draws then.
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(() => setTimeout(drawn))))));
  await page.waitForFunction(() => !document.querySelector(".waiting") && !document.querySelector("[aria-busy=true]"));
}

/** What the API answers to who is signed in. */
export const api = (page, what) => page.evaluate(async (p) => (await fetch(`/v1/admin/${p}`)).json(), what);

/** Serious findings of axe-core, as words. */
export async function findings(page) {
  // The page's own policy lets no script in; a check is none of its scripts.
  const client = await page.context().newCDPSession(page);
  await client.send("Runtime.evaluate", { expression: axe });
  const { result } = await client.send("Runtime.evaluate", {
    awaitPromise: true, returnByValue: true,
    expression: `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.filter((v) => ["serious", "critical"].includes(v.impact))
      .map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + (n.any[0] ? n.any[0].message : "")).join(" | ")))`,
  });
  await client.detach();
  return result.value;
}

/** Presses a button, and goes on in the dialog that opens. */
export async function act(page, button, fill = {}, verb = null) {
  await button.click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  for (const [label, value] of Object.entries(fill)) {
    const field = dialog.getByLabel(label, { exact: false }).first();
    if ((await field.evaluate((e) => e.tagName)) === "SELECT") await field.selectOption(value);
    else await field.fill(value);
  }
  await dialog.locator("button[type=submit]").click();
  if (verb === "stays") return dialog;
  await dialog.waitFor({ state: "hidden" }).catch(async () => {
    throw new Error(`the dialog stays: ${await dialog.innerText()}`);
  });
  await settled(page);
  return dialog;
}

// ---- the programs ----

export function satchel(name, ...args) {
  const done = spawnSync(path.join(world.bin, "satchel"), ["--db", world.devices[name] || name, ...args], { encoding: "utf8", timeout: 120000, input: args.input });
  return { status: done.status, text: done.stdout + done.stderr, out: done.stdout.trim() };
}

export function enroll(db, name, code) {
  return spawnSync(path.join(world.bin, "satchel"), ["--db", db, "enroll", "-", "--name", name], { encoding: "utf8", timeout: 120000, input: `${code}\n` });
}

export function sync(name) {
  const done = satchel(name, "sync", "--timeout", "60");
  equal(done.status, 0, `sync of ${name}: ${done.text}`);
}

/** Lets a device stay connected until `condition` holds. */
export async function watching(name, condition, what) {
  const process = spawn(path.join(world.bin, "satchel"), ["--db", world.devices[name], "sync", "--watch"], { stdio: "ignore" });
  try {
    await until(what, condition);
  } finally {
    process.kill();
    await new Promise((gone) => process.once("exit", gone));
  }
}

export const ctl = (...args) => JSON.parse(execFileSync(path.join(world.bin, "satchelctl"), ["--data", world.data, "--json", ...args], { encoding: "utf8" }));
