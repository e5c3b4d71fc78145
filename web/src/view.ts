/** One picture: a frame, the outlines on it, prompts, crosshair, what is being drawn. */

import type { Axes, Pair, Prompt, Scan, Triple } from "./types";
import { apply, invert, letters, matrix, type Matrix } from "./placement";
import { border, filled, type Bitmap } from "./runs";
import type { Place, Stroke } from "./tools";

const POSITIVE = "#2ecc71";
const NEGATIVE = "#ff5a5f";
const DRAWN = "#ffd54a";
const FONT = "12px system-ui, sans-serif";
const BARS = [1, 2, 5, 10, 20, 50, 100, 200]; // mm

export interface Shown {
  bitmap: Bitmap;
  color: Triple;
  preview: boolean;
  active: boolean;
}

/** Lines through the point that all planes show, each in the color of the plane it stands for. */
export interface Cross {
  at: Pair;
  across: Triple;
  down: Triple;
}

const css = (color: Triple, alpha = 1): string => `rgb(${color.join(" ")} / ${alpha})`;

export class View {
  zoom = 1;
  pan: Place = [0, 0];
  fill = 0.3; // opacity of the inside
  outlines = true;
  image: ImageBitmap | null = null;
  shown: Shown[] = [];
  prompts: { prompt: Prompt; color: Triple }[] = [];
  stroke: Stroke | null = null;
  cross: Cross | null = null;
  axes: { axes: Axes; unit: string } | null = null;
  brush = 0; // radius in pixels of the frame; 0: no brush
  pointer: Place | null = null;
  title = "";
  titleColor: Triple = [255, 255, 255];
  private pictures = new WeakMap<Bitmap, { color: string; fill: OffscreenCanvas; edge: Path2D }>();
  private waiting = false;

  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly scan: Scan,
  ) {
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  get matrix(): Matrix {
    return matrix(this.scan, this.canvas.clientWidth, this.canvas.clientHeight, this.zoom, this.pan);
  }

  /** Pixel of the frame under a place of the canvas; its center is at whole numbers. */
  pixel(u: number, v: number): Place {
    const [x, y] = invert(this.matrix, u, v);
    return [x - 0.5, y - 0.5];
  }

  /** Place of the canvas that shows the center of a pixel. */
  place(x: number, y: number): Place {
    return apply(this.matrix, x + 0.5, y + 0.5);
  }

  contains([x, y]: Place): boolean {
    return x >= -0.5 && y >= -0.5 && x < this.scan.width - 0.5 && y < this.scan.height - 0.5;
  }

  zoomAt(u: number, v: number, factor: number): void {
    const [x, y] = this.pixel(u, v);
    this.zoom = Math.min(40, Math.max(0.2, this.zoom * factor));
    const [nu, nv] = this.place(x, y);
    this.pan = [this.pan[0] + u - nu, this.pan[1] + v - nv];
    this.draw();
  }

  reset(): void {
    this.zoom = 1;
    this.pan = [0, 0];
    this.draw();
  }

  /** Draw soon; once, however often it is asked for. */
  draw(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.paint();
    });
  }

  private paint(): void {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || !height) return;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const context = this.canvas.getContext("2d")!;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const m = this.matrix;
    context.save();
    context.transform(...m);
    context.imageSmoothingEnabled = this.zoom < 4;
    context.imageSmoothingQuality = "high";
    if (this.image) context.drawImage(this.image, 0, 0, this.scan.width, this.scan.height);
    context.restore();
    if (this.outlines) this.shown.forEach((one) => this.paintShown(context, one, m));
    if (this.cross) this.paintCross(context, this.cross, width, height);
    if (this.axes && this.outlines) this.paintAxes(context, this.axes.axes, this.axes.unit);
    if (this.outlines) this.prompts.forEach(({ prompt, color }) => this.paintPrompt(context, prompt, color));
    if (this.stroke) this.paintStroke(context, this.stroke);
    if (this.brush && this.pointer) this.paintBrush(context, this.pointer);
    this.paintLetters(context, width, height);
    this.paintBar(context, height);
  }

  private paintShown(context: CanvasRenderingContext2D, one: Shown, m: Matrix): void {
    const color = css(one.color);
    let picture = this.pictures.get(one.bitmap);
    if (!picture || picture.color !== color) {
      picture = { color, fill: filled(one.bitmap, one.color), edge: border(one.bitmap) };
      this.pictures.set(one.bitmap, picture);
    }
    context.save();
    context.transform(...m);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = one.preview ? Math.min(0.25, this.fill) : this.fill;
    context.drawImage(picture.fill, 0, 0);
    context.restore();
    const edge = new Path2D();
    edge.addPath(picture.edge, new DOMMatrix(m));
    context.lineWidth = one.active ? 2 : 1.4;
    context.lineCap = "square";
    context.setLineDash(one.preview ? [5, 4] : []);
    context.strokeStyle = color;
    context.stroke(edge);
    context.setLineDash([]);
    context.lineCap = "butt";
  }

  private paintCross(context: CanvasRenderingContext2D, cross: Cross, width: number, height: number): void {
    const [u, v] = this.place(...cross.at);
    const gap = 9;
    const lines: [Triple, number, number, number, number][] = [
      [cross.across, 0, v, u - gap, v],
      [cross.across, u + gap, v, width, v],
      [cross.down, u, 0, u, v - gap],
      [cross.down, u, v + gap, u, height],
    ];
    context.lineWidth = 1;
    for (const [color, ...[u0, v0, u1, v1]] of lines) {
      context.strokeStyle = css(color, 0.55);
      context.beginPath();
      context.moveTo(u0, v0);
      context.lineTo(u1, v1);
      context.stroke();
    }
  }

  private paintAxes(context: CanvasRenderingContext2D, axes: Axes, unit: string): void {
    for (const [ends, length] of [
      [axes.ends, axes.long],
      [axes.across, axes.short],
    ] as const) {
      this.line(context, [...ends], "#ffffff", false);
      const [u, v] = this.place(...ends[1]);
      this.text(context, `${length.toFixed(1)} ${unit}`, u + 8, v, "#ffffff", "left");
    }
  }

  private paintPrompt(context: CanvasRenderingContext2D, prompt: Prompt, color: Triple): void {
    if (prompt.type === "point") {
      const [u, v] = this.place(...prompt.at);
      context.beginPath();
      context.arc(u, v, 5, 0, 2 * Math.PI);
      context.fillStyle = prompt.positive ? POSITIVE : NEGATIVE;
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = "white";
      context.stroke();
      context.beginPath();
      context.moveTo(u - 2.5, v);
      context.lineTo(u + 2.5, v);
      if (prompt.positive) {
        context.moveTo(u, v - 2.5);
        context.lineTo(u, v + 2.5);
      }
      context.stroke();
    } else if (prompt.type === "box") {
      const [x0, y0, x1, y1] = prompt.corners;
      const corners: Place[] = [
        [x0, y0],
        [x1, y0],
        [x1, y1],
        [x0, y1],
      ];
      this.line(
        context,
        corners.map(([x, y]) => [x - 0.5, y - 0.5]),
        css(color),
        true,
        true,
      );
    } else if (prompt.type === "scribble" || prompt.type === "lasso") {
      const negative = prompt.type === "scribble" && !prompt.positive;
      this.line(context, prompt.points, negative ? NEGATIVE : css(color), prompt.type === "lasso", true);
    }
  }

  private paintStroke(context: CanvasRenderingContext2D, stroke: Stroke): void {
    const [first, last] = [stroke.places[0], stroke.places[stroke.places.length - 1]];
    if (!first || !last) return;
    const color = stroke.positive && stroke.tool !== "eraser" ? DRAWN : NEGATIVE;
    if (stroke.tool === "box") {
      this.line(context, [first, [last[0], first[1]], last, [first[0], last[1]]], color, true);
    } else if (stroke.tool !== "point") {
      this.line(context, stroke.places, color, stroke.tool === "lasso");
    }
  }

  private line(
    context: CanvasRenderingContext2D,
    places: Place[],
    color: string,
    closed: boolean,
    dashed = false,
  ): void {
    context.beginPath();
    places.forEach(([x, y], n) => {
      const [u, v] = this.place(x, y);
      if (n) context.lineTo(u, v);
      else context.moveTo(u, v);
    });
    if (closed) context.closePath();
    context.lineJoin = "round";
    context.lineWidth = 3;
    context.strokeStyle = "rgb(0 0 0 / 55%)";
    context.stroke();
    context.lineWidth = 1.5;
    context.strokeStyle = color;
    context.setLineDash(dashed ? [6, 4] : []);
    context.stroke();
    context.setLineDash([]);
  }

  private paintBrush(context: CanvasRenderingContext2D, [x, y]: Place): void {
    const m = this.matrix;
    const [u, v] = this.place(x, y);
    context.beginPath();
    const across = (this.brush + 0.5) * Math.hypot(m[0], m[1]);
    const down = (this.brush + 0.5) * Math.hypot(m[2], m[3]);
    const [ru, rv] = m[0] ? [across, down] : [down, across];
    context.ellipse(u, v, ru, rv, 0, 0, 2 * Math.PI);
    context.lineWidth = 1.5;
    context.strokeStyle = "white";
    context.stroke();
  }

  private text(
    context: CanvasRenderingContext2D,
    words: string,
    u: number,
    v: number,
    color: string,
    align: CanvasTextAlign,
    font = FONT,
  ): void {
    context.font = font;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeStyle = "rgb(0 0 0 / 75%)";
    context.strokeText(words, u, v);
    context.fillStyle = color;
    context.fillText(words, u, v);
  }

  private paintLetters(context: CanvasRenderingContext2D, width: number, height: number): void {
    const edge = letters(this.scan);
    const all: [string, number, number][] = [
      [edge.left, 14, height / 2],
      [edge.right, width - 14, height / 2],
      [edge.top, width / 2, 14],
      [edge.bottom, width / 2, height - 14],
    ];
    for (const [letter, u, v] of all)
      this.text(context, letter, u, v, DRAWN, "center", `600 14px system-ui, sans-serif`);
    if (this.title) this.text(context, this.title, 10, 15, css(this.titleColor), "left", `600 ${FONT}`);
  }

  /** A ruler, where millimeters are known. */
  private paintBar(context: CanvasRenderingContext2D, height: number): void {
    if (this.scan.placement === "pixels" || this.scan.kind === "video") return;
    const [sx] = this.scan.frame_spacing;
    const perMm = Math.hypot(this.matrix[0], this.matrix[1]) / sx;
    const longest = Math.min(120, this.canvas.clientWidth * 0.28);
    const size = BARS.filter((mm) => mm * perMm <= longest).at(-1);
    if (!size) return;
    context.beginPath();
    context.moveTo(12, height - 20);
    context.lineTo(12, height - 14);
    context.lineTo(12 + size * perMm, height - 14);
    context.lineTo(12 + size * perMm, height - 20);
    for (const [line, style] of [
      [3, "rgb(0 0 0 / 75%)"],
      [1.5, "#dfe3e8"],
    ] as const) {
      context.lineWidth = line;
      context.strokeStyle = style;
      context.stroke();
    }
    this.text(
      context,
      size < 10 ? `${size} mm` : `${size / 10} cm`,
      12 + size * perMm + 8,
      height - 16,
      "#dfe3e8",
      "left",
    );
  }
}
