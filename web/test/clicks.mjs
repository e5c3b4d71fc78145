/** Opens the page, clicks on what is bright, follows it, undoes and does it again; prints what was seen as JSON. */

import { chromium } from "playwright-core";

const [address, executablePath, picture] = process.argv.slice(2);
const origin = new URL(address).origin;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 900, height: 700 } });
const seen = { errors: [], outside: [], session: "", places: [], messages: [] };
page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
page.on("pageerror", (error) => seen.errors.push(String(error)));
page.on("request", (request) => {
  const there = request.url();
  if (!there.startsWith(origin) && !/^(data|blob):/.test(there)) seen.outside.push(there);
});

/** Middle of the bright gray pixels of the canvas, 0 to 1. */
const bright = () =>
  page.evaluate(() => {
    const canvas = document.getElementById("picture");
    const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let [count, x, y] = [0, 0, 0];
    for (let at = 0; at < data.length; at += 4) {
      if (data[at] > 150 && data[at] === data[at + 1] && data[at] === data[at + 2]) {
        count++;
        x += (at / 4) % width;
        y += Math.floor(at / 4 / width);
      }
    }
    return count ? [x / count / width, y / count / height] : null;
  });
const told = (pattern) =>
  page.waitForFunction((source) => new RegExp(source).test(document.getElementById("message").textContent), pattern, { timeout: 60000 });

await page.goto(address);
await page.waitForSelector("#work:not([hidden])", { timeout: 60000 });
let place = null;
for (let n = 0; n < 200 && !(place = await bright()); n++) await page.waitForTimeout(100);
seen.places.push(place);
const box = await page.locator("#picture").boundingBox();
await page.mouse.click(box.x + place[0] * box.width, box.y + place[1] * box.height);
await told("% sure");
await page.keyboard.press("f");
await told("Followed");
await page.keyboard.press("Control+z");
await page.waitForFunction(() => !document.getElementById("redo").disabled, null, { timeout: 30000 });
await page.keyboard.press("Control+y");
await page.waitForFunction(() => document.getElementById("redo").disabled, null, { timeout: 30000 });
seen.session = new URLSearchParams(new URL(page.url()).hash.slice(1)).get("session");
seen.token = page.url().includes("token");
await page.reload();
await page.waitForSelector("#structures li", { timeout: 30000 });
if (picture) await page.screenshot({ path: picture });
await browser.close();
console.log(JSON.stringify(seen));
