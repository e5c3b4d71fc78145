/** A page in a real browser, watched: what it says wrong, and whom it asks. */

import { chromium } from "playwright-core";

export async function opened(executablePath, origins, viewport = { width: 1000, height: 720 }) {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  const context = await browser.newContext({ viewport, permissions: ["clipboard-read", "clipboard-write"] });
  const page = await context.newPage();
  const seen = { errors: [], outside: [] };
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("request", (request) => {
    const there = request.url();
    if (!origins.some((origin) => there.startsWith(origin)) && !/^(data|blob):/.test(there)) seen.outside.push(there);
  });
  page.setDefaultTimeout(90000);
  return { browser, page, seen };
}

/** Opens an address anew: what lies behind # alone is no reason for a browser to load a page again. */
export async function visit(page, address) {
  await page.goto("about:blank");
  await page.goto(address);
}

export const told = (page, pattern) =>
  page.waitForFunction((source) => new RegExp(source).test(document.getElementById("message").textContent), pattern);

/** Middle of the bright gray pixels (or of tinted ones) of a canvas, 0 to 1; null where there are none. */
export const middle = (page, id, tinted = false) =>
  page.evaluate(
    ([canvasId, colored]) => {
      const canvas = document.getElementById(canvasId);
      const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let [count, x, y] = [0, 0, 0];
      for (let at = 0; at < data.length; at += 4) {
        const gray = data[at] === data[at + 1] && data[at] === data[at + 2];
        if (colored ? data[at] < 150 || data[at] - data[at + 1] < 35 || data[at + 1] < 130 : data[at] < 150 || !gray)
          continue;
        count++;
        x += (at / 4) % width;
        y += Math.floor(at / 4 / width);
      }
      return count > 20 ? [x / count / width, y / count / height] : null;
    },
    [id, tinted],
  );

export async function waited(page, id, tinted = false) {
  for (let n = 0; n < 200; n++) {
    const found = await middle(page, id, tinted);
    if (found) return found;
    await page.waitForTimeout(100);
  }
  throw new Error(`nothing to see on #${id}`);
}

/** Clicks on a place of a canvas, 0 to 1 along its sides. */
export async function clickOn(page, id, [across, down], options = {}) {
  const box = await page.locator(`#${id}`).boundingBox();
  await page.mouse.click(box.x + across * box.width, box.y + down * box.height, options);
}

/** The voxel that the page says lies under the pointer. */
export async function voxelUnder(page) {
  const words = await page.textContent("#readout");
  return /voxel (\d+), (\d+), (\d+)/.exec(words).slice(1).map(Number);
}
