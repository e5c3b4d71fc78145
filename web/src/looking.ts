/** Where one looks: frames, crosshair, what lies under the pointer, films, how much is shown. */

import { byId } from "./dom";
import type { Page } from "./page";
import type { Pane } from "./panes";
import { axisOf, voxelAt, worldOf } from "./planes";
import { promptOf, type Place } from "./tools";
import type { Pair } from "./types";

const PREVIEW_AFTER = 60; // ms a pointer rests

export class Looking {
  private playing = false;
  private axes = false;

  constructor(private readonly page: Page) {}

  go(frame: number): void {
    const before = this.page.frame;
    this.page.panes.cursor[axisOf(this.page.scan)] = Math.min(this.page.scan.frames - 1, Math.max(0, frame));
    this.moved(this.page.frame !== before);
  }

  /** The wheel on a pane. */
  turn(pane: Pane, step: number): void {
    const axis = axisOf(pane.plane);
    this.page.panes.cursor[axis] = Math.min(pane.plane.frames - 1, Math.max(0, pane.frame + step));
    this.moved(pane === this.page.panes.main);
  }

  /** All planes show the place under the pointer of one. */
  look(pane: Pane, place: Place): void {
    if (!pane.view.contains(place)) return;
    const before = this.page.frame;
    this.page.panes.cursor = voxelAt(pane.plane, pane.frame, place);
    this.moved(this.page.frame !== before);
  }

  private moved(otherFrame: boolean): void {
    if (otherFrame) {
      this.page.preview = null;
      this.page.candidates = null;
      const { frame } = this.page;
      setTimeout(() => frame === this.page.frame && this.page.live.look(frame), 150);
    }
    this.page.show();
    this.page.panes.load();
  }

  /** Another window: black and white mean other values. */
  windowed(window: Pair | null): void {
    this.page.panes.window = window;
    this.page.panes.load();
  }

  /** What lies under the pointer: the voxel of the file, and where it is in the patient. */
  over(pane: Pane, place: Place): void {
    pane.view.pointer = place;
    const [x, y] = place.map(Math.round) as Place;
    let words = "";
    if (pane.view.contains(place)) {
      words = `${x}, ${y}`;
      if (this.page.scan.kind === "volume") {
        const voxel = voxelAt(pane.plane, pane.frame, place);
        words = `voxel ${voxel.join(", ")}`;
        if (this.page.scan.placement === "world") {
          const mm = worldOf(this.page.scan, voxel).map(
            (value, n) => `${"LPI"[n] && value < 0 ? "LPI"[n] : "RAS"[n]} ${Math.abs(value).toFixed(1)}`,
          );
          words += ` · ${mm.join(" ")} mm`;
        }
      }
    }
    byId("readout").textContent = words;
  }

  left(pane: Pane): void {
    window.clearTimeout(this.page.resting);
    pane.view.pointer = null;
    this.page.preview = null;
    this.page.previewSeq = 0;
    byId("readout").textContent = "";
    this.page.show();
  }

  /** What a click here would give, once the pointer rests. */
  hover(place: Place): void {
    window.clearTimeout(this.page.resting);
    const { view } = this.page.panes.main;
    if (
      this.page.tool !== "point" ||
      this.page.negative ||
      !view.contains(place) ||
      this.page.waiting.size ||
      this.page.job ||
      this.page.structure?.locked
    )
      return;
    if (this.page.masks.get(this.page.active ?? "")?.has(this.page.frame)) return;
    this.page.resting = window.setTimeout(() => {
      const prompt = promptOf(
        { tool: "point", positive: true, places: [place] },
        this.page.frame,
        this.page.scan.width,
        this.page.scan.height,
      );
      if (prompt)
        this.page.previewSeq = this.page.live.preview({ event: "prompt", object: this.page.deeds.target(), prompt });
    }, PREVIEW_AFTER);
  }

  /** Steps through a video; false elsewhere, where the key means something else. */
  video(step: number): boolean {
    if (this.page.scan.kind !== "video") return false;
    this.go(this.page.frame + step);
    return true;
  }

  play(): void {
    if (this.page.scan.frames === 1) return;
    this.playing = !this.playing;
    if (this.playing) void this.run();
  }

  private async run(): Promise<void> {
    const times = this.page.scan.times;
    const pause = times && times.length > 1 ? ((times.at(-1)! - times[0]!) * 1000) / (times.length - 1) : 100;
    while (this.playing) {
      const until = performance.now() + Math.min(500, Math.max(20, pause));
      this.go(this.page.frame + 1 < this.page.scan.frames ? this.page.frame + 1 : 0);
      await this.page.panes.images
        .get(this.page.scan, this.page.frame, this.page.panes.window)
        .catch(() => (this.playing = false));
      await new Promise((next) => setTimeout(next, Math.max(0, until - performance.now())));
    }
    this.page.show();
  }

  pause(): void {
    this.playing = false;
  }

  get plays(): boolean {
    return this.playing;
  }

  fit(): void {
    for (const { view } of this.page.panes.all) view.reset();
  }

  planes(): void {
    if (this.page.panes.all.length < 2) return;
    byId("panes").classList.toggle("several");
    this.page.show();
    this.page.panes.load();
  }

  hide(): void {
    for (const { view } of this.page.panes.all) view.outlines = !view.outlines;
    this.page.show();
  }

  ruler(): void {
    this.axes = !this.axes;
    this.page.show();
  }

  get rules(): boolean {
    return this.axes;
  }

  opacity(step: number): void {
    const slider = byId<HTMLInputElement>("opacity");
    slider.value = String(Number(slider.value) + step);
    slider.dispatchEvent(new Event("input"));
  }
}
