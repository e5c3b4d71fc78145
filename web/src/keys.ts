/** The keyboard: one table, which the help shows as well. */

import { byId, made } from "./dom";
import type { Page } from "./page";
import { TOOLS } from "./tools";

interface Key {
  /** ``event.key`` in lower case; with ``ctrl+`` where that is held. */
  keys: string[];
  shown: string;
  about: string;
  act(page: Page, key: string): void;
}

const POINTER: [string, string][] = [
  ["click", "points at the structure; rest the pointer to see what a click would give"],
  ["right click, Ctrl+click, Alt+click", "what does not belong to it"],
  ["right drag", "window: across its width, up and down its level"],
  ["wheel", "next and previous slice or frame"],
  ["Ctrl+wheel", "zoom"],
  ["middle drag, Space+drag", "move the picture"],
  ["click in another plane", "moves all planes to that place"],
];

export const KEYS: Key[] = [
  ...TOOLS.map(([tool, name, key, about]) => ({
    keys: [key.toLowerCase()],
    shown: key,
    about: `${name.toLowerCase()}: ${about[0]!.toLowerCase()}${about.slice(1)}`,
    act: (page: Page) => page.deeds.choosing(tool),
  })),
  { keys: ["t"], shown: "T", about: "include or exclude by clicks", act: (page) => page.deeds.toggle() },
  {
    keys: ["[", "]"],
    shown: "[ ]",
    about: "smaller or larger brush",
    act: (page, key) => page.deeds.resize(key === "[" ? -1 : 1),
  },
  {
    keys: ["g"],
    shown: "G",
    about: "follow the structure to the other slices or frames",
    act: (page) => page.deeds.follow(),
  },
  {
    keys: ["escape"],
    shown: "Esc",
    about: "stop following; what was followed stays",
    act: (page) => page.deeds.stop(),
  },
  {
    keys: ["c"],
    shown: "C",
    about: "another outline of an ambiguous click",
    act: (page) => page.deeds.nextCandidate(),
  },
  {
    keys: ["enter"],
    shown: "Enter",
    about: "accept the outline on this slice or frame",
    act: (page) => page.deeds.accept(),
  },
  { keys: ["n"], shown: "N", about: "next doubtful slice or frame", act: (page) => page.deeds.nextDoubtful() },
  {
    keys: ["arrowright", "arrowdown", "pagedown"],
    shown: "→ ↓ PgDn",
    about: "next slice or frame",
    act: (page) => page.looking.go(page.frame + 1),
  },
  {
    keys: ["arrowleft", "arrowup", "pageup"],
    shown: "← ↑ PgUp",
    about: "previous slice or frame",
    act: (page) => page.looking.go(page.frame - 1),
  },
  {
    keys: ["home", "end"],
    shown: "Home End",
    about: "first, last",
    act: (page, key) => page.looking.go(key === "home" ? 0 : Infinity),
  },
  { keys: ["f"], shown: "F", about: "next frame of a video", act: (page) => page.looking.video(1) },
  {
    keys: ["d"],
    shown: "D",
    about: "previous frame of a video; elsewhere more opaque",
    act: (page) => page.looking.video(-1) || page.looking.opacity(0.1),
  },
  {
    keys: ["a"],
    shown: "A, Shift+A",
    about: "less, more opaque",
    act: (page, key) => page.looking.opacity(key === "A" ? 0.1 : -0.1),
  },
  { keys: [" "], shown: "Space", about: "play, pause", act: (page) => page.looking.play() },
  { keys: ["w"], shown: "W, then 1-9", about: "a window of the list", act: (page) => page.windows.ask() },
  {
    keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"],
    shown: "1-9",
    about: "that structure",
    act: (page, key) => page.number(Number(key)),
  },
  {
    keys: ["<", ">", ",", "."],
    shown: "< >",
    about: "previous, next structure",
    act: (page, key) => page.neighbor("<,".includes(key) ? -1 : 1),
  },
  { keys: ["m"], shown: "M", about: "a new structure", act: () => byId("new-name").focus() },
  { keys: ["v"], shown: "V", about: "hide or show the outlines", act: (page) => page.looking.hide() },
  { keys: ["r"], shown: "R", about: "long and short axis on the slice", act: (page) => page.looking.ruler() },
  { keys: ["q"], shown: "Q", about: "one plane, or three", act: (page) => page.looking.planes() },
  { keys: ["0"], shown: "0", about: "the whole picture", act: (page) => page.looking.fit() },
  { keys: ["ctrl+z"], shown: "Ctrl+Z", about: "undo", act: (page) => page.deeds.step(true) },
  {
    keys: ["ctrl+y", "ctrl+shift+z"],
    shown: "Ctrl+Y, Ctrl+Shift+Z",
    about: "redo",
    act: (page) => page.deeds.step(false),
  },
  { keys: ["ctrl+s"], shown: "Ctrl+S", about: "save", act: () => byId("saving").toggleAttribute("open", true) },
  { keys: ["?"], shown: "?", about: "these keys", act: () => byId<HTMLDialogElement>("help").showModal() },
];

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLSelectElement ||
  (target instanceof HTMLInputElement && target.type !== "range" && target.type !== "checkbox");

/** Does what a key says; true where it says something. */
export function pressed(page: Page, event: KeyboardEvent): boolean {
  if (typing(event.target) || document.querySelector("dialog[open]") || event.altKey) return false;
  const held = event.ctrlKey || event.metaKey ? `ctrl+${event.shiftKey ? "shift+" : ""}` : "";
  const named = held + event.key.toLowerCase();
  if (!held && page.windows.asked && page.windows.chosen(event.key)) return true;
  const found = KEYS.find((one) => one.keys.includes(named));
  if (!found) return false;
  if (event.target instanceof HTMLButtonElement && (named === "enter" || named === " ")) return false;
  found.act(page, event.key.length === 1 ? event.key : named);
  return true;
}

export function fillHelp(): void {
  const rows = (all: [string, string][]) =>
    all.flatMap(([keys, about]) => [made("dt", { textContent: keys }), made("dd", { textContent: about })]);
  byId("help-pointer").replaceChildren(...rows(POINTER));
  byId("help-keys").replaceChildren(...rows(KEYS.map((one) => [one.shown, one.about])));
}
