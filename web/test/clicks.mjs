/** On each scan: clicks in all planes, an outline followed, undone and done again; prints what was seen as JSON. */

import { clickOn, opened, told, visit, voxelUnder, waited } from "./browser.mjs";

const [origin, token, executablePath, ...scans] = process.argv.slice(2);
const { browser, page, seen } = await opened(executablePath, [origin]);
seen.scans = {};
for (const scan of scans) {
  await visit(page, `${origin}/#token=${token}&open=${scan}`);
  await page.waitForSelector("#work:not([hidden])");
  const about = { places: {}, voxels: {}, tinted: {} };
  for (const id of ["plane-1", "plane-2"]) {
    about.places[id] = await waited(page, id);
    await clickOn(page, id, about.places[id]);
    about.voxels[id] = await voxelUnder(page);
    about.frame = Number(/\d+/.exec(await page.textContent("#frame"))[0]);
  }
  about.places.picture = await waited(page, "picture");
  await clickOn(page, "picture", about.places.picture);
  about.voxels.picture = await voxelUnder(page);
  await told(page, "% sure");
  await page.keyboard.press("g");
  await told(page, "Followed");
  await page.keyboard.press("Control+z");
  await page.waitForFunction(() => !document.getElementById("redo").disabled);
  await page.keyboard.press("Control+y");
  await page.waitForFunction(() => document.getElementById("redo").disabled);
  for (const id of ["plane-1", "plane-2", "picture"]) about.tinted[id] = await waited(page, id, true);
  about.session = new URLSearchParams(new URL(page.url()).hash.slice(1)).get("session");
  about.token = page.url().includes("token");
  await page.reload();
  await page.waitForSelector("#structures li");
  seen.scans[scan] = about;
}
await browser.close();
console.log(JSON.stringify(seen));
