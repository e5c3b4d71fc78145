/** A session as a person has it, on a volume, a film and a picture: everything is pressed; prints what was seen as JSON. */

import { readFileSync } from "node:fs";
import { clickOn, opened, told, visit, waited } from "./browser.mjs";

const [origin, token, executablePath, slow, folder, picture] = process.argv.slice(2);
const { browser, page, seen } = await opened(executablePath, [origin, slow], { width: 1280, height: 720 });
const open = (what, at = origin) =>
  visit(page, `${at}/#token=${token}&open=${what}`).then(() => page.waitForSelector("#work:not([hidden])"));
const message = () => page.textContent("#message");
const session = () => new URLSearchParams(new URL(page.url()).hash.slice(1)).get("session");
const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
const settled = () => page.waitForFunction(() => document.getElementById("busy").hidden);
const kept = async (act, name) => {
  const [download] = await Promise.all([page.waitForEvent("download"), act()]);
  await download.saveAs(`${folder}/${name}`);
  return download.suggestedFilename();
};
const menu = async (button) => {
  await page.click("#saving summary");
  await page.click(button);
};
const ink = () =>
  page.evaluate(() => {
    const canvas = document.getElementById("picture");
    return canvas
      .getContext("2d")
      .getImageData(0, 0, canvas.width, canvas.height)
      .data.reduce((sum, value) => sum + value, 0);
  });

// a volume: hover, click, candidates, follow, and the same as a command
await open("bar.nii.gz");
const bar = await waited(page, "picture");
const box = await page.locator("#picture").boundingBox();
await page.mouse.move(box.x + bar[0] * box.width, box.y + bar[1] * box.height);
await waited(page, "picture", true);
seen.hovered = await page.locator("#structures li").count();
await clickOn(page, "picture", bar);
await told(page, "% sure");
seen.candidates = await page.locator("#candidates button").count();
await page.keyboard.press("g");
await told(page, "Followed");
await menu("#copy-command");
await told(page, "Copied");
seen.command = await clipboard();
await kept(() => menu('#formats button:has-text("NIfTI")'), "first.nii.gz");
await page.waitForSelector("#measures:not([hidden])");
seen.measures = await page.textContent("#measures");

// a second structure, cleaned and painted: its prompts go with the command
await page.keyboard.press("m");
await page.keyboard.type("second one");
await page.keyboard.press("Enter");
await told(page, "Click on second one");
await page.keyboard.press("b");
await page.mouse.move(box.x + (bar[0] - 0.1) * box.width, box.y + (bar[1] - 0.2) * box.height);
await page.mouse.down();
await page.mouse.move(box.x + (bar[0] + 0.1) * box.width, box.y + (bar[1] + 0.2) * box.height, { steps: 4 });
await page.mouse.up();
await told(page, "second one: ");
for (const [key, n] of [
  ["s", 1],
  ["l", 2],
]) {
  await page.keyboard.press(key);
  await page.mouse.move(box.x + bar[0] * box.width, box.y + bar[1] * box.height);
  await page.mouse.down();
  await page.mouse.move(box.x + bar[0] * box.width + 40, box.y + bar[1] * box.height + 10, { steps: 3 });
  await page.mouse.move(box.x + bar[0] * box.width + 10, box.y + bar[1] * box.height + 40, { steps: 3 });
  await page.mouse.up();
  await page.waitForTimeout(100);
  await settled();
  seen[`stroke ${n}`] = await message();
}
await page.keyboard.press("e");
await clickOn(page, "picture", [bar[0], bar[1]]);
await told(page, "kept as drawn");
await page.keyboard.press("x");
await page.keyboard.press("[");
await clickOn(page, "picture", [bar[0] + 0.02, bar[1]]);
await page.waitForTimeout(200);
await settled();
await page.keyboard.press("<");
for (const text of ["Smooth", "Fill holes", "Largest part"]) {
  await page.click(`#shapes button:text-is("${text}")`);
  await page.waitForTimeout(100);
  await settled();
}
await page.keyboard.press("Control+z");
await page.waitForFunction(() => !document.getElementById("redo").disabled);
seen.promptsFile = await kept(() => menu("#copy-command"), "kept.prompts.json");
await told(page, "Its prompts were saved");
seen.commandWithPrompts = await clipboard();
await menu("#copy-python");
await told(page, "Copied as Python");
seen.python = await clipboard();
seen.saved = await kept(() => menu('#formats button:has-text("NIfTI")'), "page.nii.gz");
seen.volume = session();

// keys that only show
seen.before = await ink();
await page.keyboard.press("v");
await page.waitForTimeout(150);
seen.hidden = await ink();
await page.keyboard.press("v");
await page.keyboard.press("r");
await page.keyboard.press("q");
seen.planes = await page.locator("#plane-1:visible").count();
await page.keyboard.press("q");
await page.keyboard.press("w");
await page.keyboard.press("3");
seen.window = [await page.inputValue("#low"), await page.inputValue("#high")];
await page.keyboard.press("p");
await page.mouse.move(box.x + 100, box.y + 100);
await page.mouse.down({ button: "right" });
await page.mouse.move(box.x + 160, box.y + 130, { steps: 4 });
await page.mouse.up({ button: "right" });
seen.dragged = [await page.inputValue("#low"), await page.inputValue("#high")];
await page.keyboard.press("w");
await page.keyboard.press("1");
await page.keyboard.press("?");
seen.help = await page.locator("#help dt").count();
await page.keyboard.press("Escape");
seen.disabled = await page.$$eval("aside button:disabled", (all) => all.map((one) => one.id || one.textContent));

// tomorrow
await open("bar.nii.gz");
await told(page, "You are where you were");
seen.resumed = session();

// a film: steps, plays, is followed
await open("clip");
await waited(page, "picture");
for (const key of ["Home", "f", "f", "f", "d"]) await page.keyboard.press(key);
seen.frame = await page.textContent("#frame");
await page.keyboard.press(" ");
await page.waitForFunction((before) => document.getElementById("frame").textContent !== before, seen.frame);
await page.keyboard.press(" ");
await page.keyboard.press("Home");
await page.waitForTimeout(400);
await clickOn(page, "picture", await waited(page, "picture"));
await told(page, "% sure");
await page.keyboard.press("g");
await told(page, "Followed");
await menu("#copy-command");
await told(page, "Copied");
seen.filmCommand = await clipboard();
seen.film = session();

// the structure of the other scan, looked for on this frame
await page.keyboard.press("End");
await page.click("#like-open");
await page.click('#like-list button:has-text("second one")');
await page.waitForFunction(() => /second one: |Nothing was found/.test(document.getElementById("message").textContent));
seen.like = await message();
await page.keyboard.press("Control+z");
await told(page, "Taken back");

// following that takes long is ended with Esc; a file that is dropped is opened beside it
await open("bar.nii.gz", slow);
await clickOn(page, "picture", await waited(page, "picture"));
await told(page, "% sure");
await page.keyboard.press("g");
await page.waitForSelector("#progress:not([hidden])");
seen.follows = await message();
await page.keyboard.press("Escape");
await told(page, "Ended");
const bytes = [...readFileSync(picture)];
await page.evaluate((content) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(content)], "dropped.png"));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true }));
}, bytes);
await page.waitForFunction(() => document.getElementById("file").textContent === "dropped.png");
await clickOn(page, "picture", await waited(page, "picture"));
await told(page, "% sure");
seen.picture = await page.textContent("#structures .size");
seen.errorsBefore = [...seen.errors]; // a browser tells every refusal of a server as an error
await page.evaluate(() => {
  const carried = new DataTransfer();
  carried.items.add(new File(["no scan at all"], "notes.txt"));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, cancelable: true }));
});
await page.waitForSelector("#message.wrong");
seen.refused = await message();
await browser.close();
console.log(JSON.stringify(seen));
