/** Pictures of the page for the documents: a session on the demo's scans, as a person would have it. */

import { clickOn, opened, told, visit } from "./browser.mjs";

const [origin, token, executablePath, folder] = process.argv.slice(2);
const { browser, page, seen } = await opened(executablePath, [origin], { width: 1280, height: 720 });
page.setDefaultTimeout(240000);
const open = async (what) => {
  await visit(page, `${origin}/#token=${token}&open=${what}`);
  await page.waitForSelector("#work:not([hidden])");
  await page.waitForTimeout(1500);
};
const picture = async (name) => {
  await page.waitForTimeout(1200);
  await page.screenshot({ path: `${folder}/${name}.png` });
};
const goTo = async (frame) => {
  await page.locator("#slider").fill(String(frame));
  await page.waitForTimeout(500);
};
const named = async (name) => {
  await page.keyboard.press("m");
  await page.keyboard.type(name);
  await page.keyboard.press("Enter");
  await told(page, `Click on ${name}`);
};

/** Place of a pixel of the frame on the canvas, 0 to 1; the axial slices fill its height. */
const place = async (x, y, [width, height], [sx, sy]) => {
  const box = await page.locator("#picture").boundingBox();
  const fit = Math.min(box.width / (width * sx), box.height / (height * sy));
  return [
    0.5 + ((x + 0.5) / width - 0.5) * ((width * sx * fit) / box.width),
    0.5 + ((y + 0.5) / height - 0.5) * ((height * sy * fit) / box.height),
  ];
};
const drag = async (from, to) => {
  const box = await page.locator("#picture").boundingBox();
  await page.mouse.move(box.x + from[0] * box.width, box.y + from[1] * box.height);
  await page.mouse.down();
  await page.mouse.move(box.x + to[0] * box.width, box.y + to[1] * box.height, { steps: 5 });
  await page.mouse.up();
};

// four organs of the made-up CT in three planes
const { size, spacing, boxes, clicks } = JSON.parse(process.argv[6]);
await open("abdomen.nii.gz");
await goTo(20);
for (const [name, [x0, y0, x1, y1]] of boxes) {
  await named(name);
  await page.keyboard.press("b");
  await drag(await place(x0, y0, size, spacing), await place(x1, y1, size, spacing));
  await told(page, `${name}: `);
  await page.keyboard.press("g");
  await told(page, "Followed");
}
await page.keyboard.press("1");
await page.keyboard.press("h");
await clickOn(page, "picture", await place(...clicks.liver, size, spacing));
await page.keyboard.press("p");
await picture("page");

// long and short axis, one plane
await page.keyboard.press("q");
await page.keyboard.press("r");
await page.click("#measures button");
await picture("page-axes");

// a film
await open("echo");
await page.keyboard.press("Home");
await named("chamber");
await clickOn(page, "picture", await place(...clicks.chamber, clicks.film, [1, 1]));
await told(page, "% sure");
await page.keyboard.press("g");
await told(page, "Followed");
await goTo(17);
await picture("page-video");
await browser.close();
if (seen.errors.length || seen.outside.length) throw new Error(JSON.stringify(seen));
