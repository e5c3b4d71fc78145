/** The pictures on the page: the frame that is outlined, and beside it the two other planes of a volume. */

import { frameImage } from "./api";
import { axisOf, cut, pixelOf, planeColor, planeName, type Voxel } from "./planes";
import type { Bitmap, Runs } from "./runs";
import type { Axes, Prompt, Scan, Structure, Triple } from "./types";
import { View, type Shown } from "./view";

const MOST_IMAGES = 96;
const MOST_CUTS = 120;
const PREFETCH = 4; // frames on either side

/** What the pictures show. */
export interface Scene {
  structures: Structure[];
  masks: Map<string, Map<number, Runs>>;
  hidden: Set<string>;
  active: string | null;
  prompts: { object: string; prompt: Prompt }[];
  preview: { runs: Bitmap; color: Triple } | null;
  axes: { axes: Axes; unit: string } | null;
  window: [number, number] | null;
}

class Images {
  private known = new Map<string, Promise<ImageBitmap>>();

  get(scan: Scan, frame: number, window: [number, number] | null): Promise<ImageBitmap> {
    const key = `${axisOf(scan)} ${frame} ${window}`;
    let image = this.known.get(key);
    if (!image) {
      image = frameImage(scan, frame, window);
      image.catch(() => this.known.delete(key));
      this.known.set(key, image);
      if (this.known.size > MOST_IMAGES) this.known.delete(this.known.keys().next().value!);
    }
    return image;
  }
}

/** One plane: its picture, and the frame it is at. */
export class Pane {
  readonly view: View;
  private loading = false;
  private again = false;

  constructor(
    readonly plane: Scan,
    canvas: HTMLCanvasElement,
    private readonly panes: Panes,
  ) {
    this.view = new View(canvas, plane);
    this.view.titleColor = planeColor(plane);
  }

  get frame(): number {
    return this.panes.cursor[axisOf(this.plane)]!;
  }

  /** The newest frame that is wanted; those passed by meanwhile are not fetched. */
  async load(): Promise<void> {
    this.again = true;
    if (this.loading) return;
    this.loading = true;
    while (this.again) {
      this.again = false;
      const { frame } = this;
      try {
        this.view.image = await this.panes.images.get(this.plane, frame, this.panes.window);
        this.view.draw();
      } catch (error) {
        this.panes.told(error);
      }
    }
    this.loading = false;
    const ahead = this === this.panes.main ? PREFETCH : 1;
    for (let step = 1; step <= ahead && !this.loading; step++) {
      for (const near of [this.frame + step, this.frame - step]) {
        if (near >= 0 && near < this.plane.frames) {
          await this.panes.images.get(this.plane, near, this.panes.window).catch(() => null);
        }
      }
    }
  }
}

export class Panes {
  readonly all: Pane[];
  readonly images = new Images();
  cursor: Voxel;
  window: [number, number] | null = null;
  private cuts = new Map<string, Bitmap | null>();
  private numbers = new WeakMap<Map<number, Runs>, number>();
  private count = 0;

  constructor(
    planes: Scan[],
    canvases: HTMLCanvasElement[],
    readonly told: (error: unknown) => void,
  ) {
    const [own] = planes as [Scan, ...Scan[]];
    this.cursor = [0, 1, 2].map((axis) => {
      const plane = planes.find((one) => axisOf(one) === axis);
      return plane ? Math.floor(plane.frames / 2) : 0;
    }) as Voxel;
    this.cursor[axisOf(own)] = Math.floor(own.frames / 2);
    this.all = planes.map((plane, n) => new Pane(plane, canvases[n]!, this));
  }

  get main(): Pane {
    return this.all[0]!;
  }

  /** Panes that can be seen. */
  get visible(): Pane[] {
    return this.all.filter((pane) => pane.view.canvas.clientWidth > 0);
  }

  load(): void {
    for (const pane of this.visible) void pane.load();
  }

  /** An outline of the structure changed: what was cut of it is old. */
  changed(masks: Map<number, Runs>): void {
    this.numbers.set(masks, ++this.count);
  }

  show(scene: Scene): void {
    this.window = scene.window;
    const several = this.visible.length > 1;
    for (const pane of this.visible) {
      const { view, plane, frame } = pane;
      const main = pane === this.main;
      view.shown = scene.structures.flatMap((one) => this.shown(scene, one, plane, frame));
      const colors = new Map(scene.structures.map((one) => [one.name, one.color]));
      if (main) {
        if (scene.preview) {
          view.shown.push({ bitmap: scene.preview.runs, color: scene.preview.color, preview: true, active: true });
        }
        view.prompts = scene.prompts
          .filter(({ object, prompt }) => colors.has(object) && !scene.hidden.has(object) && prompt.frame === frame)
          .map(({ object, prompt }) => ({ prompt, color: colors.get(object)! }));
        view.axes = scene.axes;
      }
      view.title = planeName(plane) && `${planeName(plane)} ${frame}`;
      view.cross = several ? this.cross(plane) : null;
      view.draw();
    }
  }

  private shown(scene: Scene, one: Structure, plane: Scan, frame: number): Shown[] {
    const masks = scene.masks.get(one.name);
    if (!masks?.size || scene.hidden.has(one.name)) return [];
    if (!this.numbers.has(masks)) this.changed(masks);
    const key = `${this.numbers.get(masks)} ${axisOf(plane)} ${frame}`;
    if (!this.cuts.has(key)) {
      this.cuts.set(key, cut(masks, this.main.plane, plane, frame));
      if (this.cuts.size > MOST_CUTS) this.cuts.delete(this.cuts.keys().next().value!);
    }
    const bitmap = this.cuts.get(key);
    return bitmap ? [{ bitmap, color: one.color, preview: false, active: one.name === scene.active }] : [];
  }

  /** The line along x stands for the plane that counts along y, and the other way around. */
  private cross(plane: Scan): View["cross"] {
    const colorOf = (axis: number) => planeColor(this.all.find((pane) => axisOf(pane.plane) === axis)!.plane);
    const [x, y] = plane.frame_axes;
    const turned = this.all.find((pane) => pane.plane === plane)!.view.matrix[0] === 0;
    const [across, down] = turned ? [colorOf(x), colorOf(y)] : [colorOf(y), colorOf(x)];
    return { at: pixelOf(plane, this.cursor), across, down };
  }
}
