// Somebody who never saw the console before, with what tools/demo --keep printed (newcomer.py): by what stands on the page, and no address but the first.
import fs from "node:fs";
import path from "node:path";
import { act, browser, check, complaints, done, equal, ok, person, settled, sign, world } from "./driver.mjs";

fs.mkdirSync(world.shots, { recursive: true });
const page = await person();

await check("signs in with what was printed", async () => {
  await sign(page, world.name, world.password);
  await settled(page);
});

await check("finds the one conflict, which the menu counts, and restores the lost value", async () => {
  const menu = page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: /^Conflicts/ });
  await menu.getByLabel("1 open").waitFor();
  await menu.click();
  await page.getByRole("heading", { name: "Conflicts" }).waitFor();
  await settled(page);
  equal(await page.locator("tbody tr").count(), 1, "conflicts");
  await page.locator("tbody tr").getByRole("link").first().click();
  await page.getByRole("heading", { name: /^Conflict in / }).waitFor();
  await settled(page);
  const sides = await page.locator(".side").allInnerTexts();
  ok(/^Kept\s+Said to the tablet\s+tablet/.test(sides[1]) && /^Lost\s+Said to the phone\s+phone/.test(sides[2]), sides.join("\n"));
  await act(page, page.getByRole("button", { name: "Restore the lost value" }));
  await page.locator(".side", { hasText: "Now" }).getByText("Said to the phone").waitFor();
  await page.screenshot({ path: path.join(world.shots, "newcomer.png") });
});

await check("nothing was in the browser's log, and nothing was asked of anybody else", async () => {
  equal(complaints, [], "complaints");
});

await browser.close();
done();
