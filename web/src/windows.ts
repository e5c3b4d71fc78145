/** Windows: which values are shown from black to white. */

import { byId, made } from "./dom";
import type { Pair, Scan } from "./types";

const OF_CT: [string, Pair][] = [
  ["soft tissue", [-160, 240]],
  ["lung", [-1350, 150]],
  ["bone", [-450, 1050]],
  ["brain", [0, 80]],
  ["liver", [-45, 105]],
  ["mediastinum", [-125, 225]],
];
/** Of other scans: ends as shares of the scan's own window. */
const RELATIVE: [string, Pair][] = [
  ["more contrast", [0.2, 0.8]],
  ["brighter", [0, 0.6]],
  ["darker", [0, 1.6]],
  ["bright parts", [0.4, 1]],
];

const rounded = (value: number, width: number): number => Number(value.toFixed(width >= 50 ? 0 : width >= 2 ? 2 : 6));

export class Windows {
  window: Pair | null = null; // null: the scan's own
  asked = false;
  private readonly presets: [string, Pair | null][];

  constructor(
    private readonly scan: Scan,
    private readonly changed: (window: Pair | null) => void,
    private readonly tell: (text: string, wrong?: boolean) => void,
  ) {
    const [low, high] = scan.window;
    const hounsfield = scan.modality === "CT" && low < -20;
    const relative = RELATIVE.map(
      ([name, [from, to]]) => [name, [low + from * (high - low), low + to * (high - low)]] as [string, Pair],
    );
    this.presets = [["default", null], ...(hounsfield ? OF_CT : relative)];
    const choice = byId<HTMLSelectElement>("window");
    choice.replaceChildren(
      ...this.presets.map(([name], n) => made("option", { textContent: `${n + 1}  ${name}`, value: String(n) })),
      made("option", { textContent: "other", value: "", hidden: true }),
    );
    choice.onchange = () => {
      this.set(this.presets[Number(choice.value)]![1]);
      choice.blur();
    };
    const ends = ["low", "high"].map((id) => byId<HTMLInputElement>(id)) as [HTMLInputElement, HTMLInputElement];
    for (const end of ends) {
      end.onchange = () => {
        const [from, to] = ends.map((one) => Number(one.value)) as Pair;
        if (from < to) this.set([from, to]);
        else this.tell("A window's low end lies below its high end: type a smaller number on the left.", true);
      };
    }
    this.set(null);
  }

  get shown(): Pair {
    return this.window ?? this.scan.window;
  }

  set(window: Pair | null): void {
    const width = (window ?? this.scan.window)[1] - (window ?? this.scan.window)[0];
    this.window = window && (window.map((value) => rounded(value, width)) as Pair);
    if (this.window && this.window[0] >= this.window[1]) this.window = null;
    const [low, high] = this.shown;
    byId<HTMLInputElement>("low").value = String(rounded(low, width));
    byId<HTMLInputElement>("high").value = String(rounded(high, width));
    const at = this.presets.findIndex(([, preset]) => String(preset) === String(this.window));
    byId<HTMLSelectElement>("window").value = at < 0 ? "" : String(at);
    this.changed(this.window);
  }

  /** Right drag: across the width, down the level, as viewers have it. */
  drag(from: Pair, across: number, down: number): void {
    const [low, high] = from;
    const step = (high - low) / 250;
    const width = Math.max((high - low) / 50, high - low + across * step);
    const level = (low + high) / 2 + down * step;
    this.set([level - width / 2, level + width / 2]);
  }

  /** The next digit means a window. */
  ask(): void {
    this.asked = true;
    this.tell(`Window: ${this.presets.map(([name], n) => `${n + 1} ${name}`).join(" · ")}`);
  }

  chosen(key: string): boolean {
    this.asked = false;
    const preset = this.presets[Number(key) - 1];
    if (!preset) return false;
    this.set(preset[1]);
    this.tell(`Window: ${preset[0]}.`);
    return true;
  }
}
