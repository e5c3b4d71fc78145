/** The page begins: a scan named in the address, one that is dropped, or a session of an earlier day. */

import { aboutScan, keptSessions, login, newSession, openPath, sessionState, upload } from "./api";
import { byId, made } from "./dom";
import { filesOf } from "./dropped";
import { fillHelp } from "./keys";
import { Page } from "./page";
import type { KeptSession, Scan } from "./types";

const page = new Page();

/** Tells what goes on, wherever one is. */
function tell(text: string, wrong = false, share: number | null = null): void {
  const started = !byId("work").hidden;
  const line = byId(started ? "message" : "start-message");
  line.textContent = text;
  line.classList.toggle("wrong", wrong);
  const bar = byId<HTMLProgressElement>(started ? "progress" : "start-progress");
  bar.hidden = wrong || share === null;
  if (share === null || share >= 1) bar.removeAttribute("value");
  else bar.value = share;
}

async function trying(work: () => Promise<void>): Promise<void> {
  try {
    await work();
    for (const id of ["progress", "start-progress"]) byId(id).hidden = true;
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error), true);
  }
}

const when = (used: number): string =>
  new Date(used * 1000).toLocaleString(undefined, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "2-digit",
    minute: "2-digit",
  });

/** Shows a scan: where a person left it, or from nothing. */
async function show(scan: Scan, name: string): Promise<void> {
  const [kept] = await keptSessions(scan.id);
  if (kept) {
    await goOn(kept.id, name);
    page.tell(`You are where you were ${when(kept.used)}. Save, Begin anew starts from nothing.`);
  } else {
    const session = await newSession(scan.id);
    await page.open(scan, name, session);
  }
}

async function goOn(session: string, name: string): Promise<void> {
  const state = await sessionState(session);
  const scan = await aboutScan(state.scan);
  const own = scan.kind === "volume" && scan.slice_axis !== state.slice_axis;
  await page.open(own ? await aboutScan(state.scan, state.slice_axis) : scan, name, state);
}

const take = (files: File[]): Promise<void> =>
  trying(async () => {
    if (!files.length) return;
    const name =
      files.length === 1 ? files[0]!.name : files[0]!.webkitRelativePath.split("/")[0] || `${files.length} files`;
    const scan = await upload(files, (share) =>
      tell(share < 1 ? `Sending ${name}: ${Math.round(share * 100)} %` : `Reading ${name} …`, false, share),
    );
    await show(scan, name);
  });

async function fillRecent(): Promise<void> {
  const row = (one: KeptSession) => {
    const button = made(
      "button",
      { title: "Go on where you were" },
      made("strong", { textContent: one.name }),
      made("span", { className: "name quiet", textContent: one.structures.join(", ") }),
      made("span", { className: "quiet", textContent: when(one.used) }),
    );
    button.onclick = () => void trying(async () => (tell("Opening …", false, 1), goOn(one.id, one.name)));
    return made("li", {}, button);
  };
  const kept = await keptSessions().catch(() => []); // without them, files can be dropped all the same
  byId("recent").hidden = !kept.length;
  byId("recent-list").replaceChildren(...kept.map(row));
}

function listen(): void {
  for (const id of ["one-file", "folder", "other-file"]) {
    const field = byId<HTMLInputElement>(id);
    field.onchange = () => {
      byId("saving").removeAttribute("open");
      void take([...(field.files ?? [])]).then(() => (field.value = ""));
    };
  }
  document.ondragover = (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  };
  document.ondragleave = (event) => event.relatedTarget || document.body.classList.remove("dropping");
  document.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    if (event.dataTransfer) void trying(async () => take(await filesOf(event.dataTransfer!)));
  };
  document.addEventListener("click", (event) => {
    // what was clicked with the pointer does not take Enter and Space, which mean something of their own
    if (event.detail > 0 && event.target instanceof Element) event.target.closest("button")?.blur();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!byId("saving").contains(event.target as Node)) byId("saving").removeAttribute("open");
  });
}

async function begin(): Promise<void> {
  fillHelp();
  listen();
  const fields = new URLSearchParams(location.hash.slice(1));
  await trying(async () => {
    const token = fields.get("token");
    if (token) {
      await login(token);
      fields.delete("token");
      history.replaceState(null, "", `#${fields}`);
    }
    const [session, path] = [fields.get("session"), fields.get("open")];
    if (session) {
      await goOn(session, fields.get("name") ?? "scan");
    } else if (path) {
      tell(`Opening ${path} …`, false, 1);
      await show(await openPath(path), path);
    }
  });
  if (byId("work").hidden) await fillRecent();
}

void begin();
