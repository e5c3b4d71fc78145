/** The picture: a frame, the outlines on it, prompts, what is being drawn. */

import type { Prompt, Scan, Triple } from "./types";
import { apply, invert, letters, matrix, type Matrix } from "./placement";
import { painted, type Runs } from "./runs";
import type { Place, Stroke } from "./tools";

export interface Shown {
  runs: Runs;
  color: Triple;
  preview: boolean;
}

export class View {
  zoom = 1;
  pan: Place = [0, 0];
  fill = 90; // opacity of the inside, 0 to 255
  outlines = true;
  image: ImageBitmap | null = null;
  shown: Shown[] = [];
  prompts: { prompt: Prompt; color: Triple }[] = [];
  stroke: Stroke | null = null;
  brush = 0; // radius in pixels of the frame; 0: no brush
  pointer: Place | null = null;
  private pictures = new WeakMap<Runs, Map<string, OffscreenCanvas>>();
  private waiting = false;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly scan: Scan,
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
    if (this.canvas.width !== width * ratio || this.canvas.height !== height * ratio) {
      this.canvas.width = width * ratio;
      this.canvas.height = height * ratio;
    }
    const context = this.canvas.getContext("2d")!;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const m = this.matrix;
    context.save();
    context.transform(...m);
    context.imageSmoothingEnabled = this.zoom < 4;
    if (this.image) context.drawImage(this.image, 0, 0, this.scan.width, this.scan.height);
    context.imageSmoothingEnabled = false;
    if (this.outlines) {
      for (const one of this.shown) {
        context.globalAlpha = one.preview ? 0.6 : 1;
        context.drawImage(this.picture(one), 0, 0);
      }
    }
    context.restore();
    context.globalAlpha = 1;
    if (this.outlines) this.prompts.forEach(({ prompt, color }) => this.paintPrompt(context, prompt, color));
    if (this.stroke) this.paintStroke(context, this.stroke);
    if (this.brush && this.pointer) this.paintBrush(context, this.pointer);
    this.paintLetters(context, width, height);
  }

  private picture(one: Shown): OffscreenCanvas {
    const key = `${one.color} ${this.fill}`;
    let known = this.pictures.get(one.runs);
    if (!known) this.pictures.set(one.runs, (known = new Map()));
    let picture = known.get(key);
    if (!picture) {
      picture = new OffscreenCanvas(one.runs.width, one.runs.height);
      picture.getContext("2d")!.putImageData(painted(one.runs, one.color, this.fill), 0, 0);
      known.clear();
      known.set(key, picture);
    }
    return picture;
  }

  private paintPrompt(context: CanvasRenderingContext2D, prompt: Prompt, color: Triple): void {
    const css = `rgb(${color.join(" ")})`;
    if (prompt.type === "point") {
      const [u, v] = this.place(...prompt.at);
      context.beginPath();
      context.arc(u, v, 6, 0, 2 * Math.PI);
      context.fillStyle = prompt.positive ? "#1fbf5f" : "#e0383e";
      context.fill();
      context.lineWidth = 2;
      context.strokeStyle = "white";
      context.stroke();
    } else if (prompt.type === "box") {
      const [x0, y0, x1, y1] = prompt.corners;
      const corners: Place[] = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
      this.line(context, corners.map(([x, y]) => [x - 0.5, y - 0.5]), css, true);
    } else if (prompt.type === "scribble" || prompt.type === "lasso") {
      const negative = prompt.type === "scribble" && !prompt.positive;
      this.line(context, prompt.points, negative ? "#e0383e" : css, prompt.type === "lasso");
    }
  }

  private paintStroke(context: CanvasRenderingContext2D, stroke: Stroke): void {
    const [first, last] = [stroke.places[0], stroke.places[stroke.places.length - 1]];
    if (!first || !last) return;
    const color = stroke.positive && stroke.tool !== "eraser" ? "#ffd54a" : "#e0383e";
    if (stroke.tool === "box") {
      this.line(context, [first, [last[0], first[1]], last, [first[0], last[1]]], color, true);
    } else if (stroke.tool !== "point") {
      this.line(context, stroke.places, color, stroke.tool === "lasso");
    }
  }

  private line(context: CanvasRenderingContext2D, places: Place[], color: string, closed: boolean): void {
    context.beginPath();
    places.forEach(([x, y], n) => {
      const [u, v] = this.place(x, y);
      if (n) context.lineTo(u, v);
      else context.moveTo(u, v);
    });
    if (closed) context.closePath();
    context.lineJoin = "round";
    for (const [width, style] of [[4, "rgb(0 0 0 / 60%)"], [2, color]] as const) {
      context.lineWidth = width;
      context.strokeStyle = style;
      context.stroke();
    }
  }

  private paintBrush(context: CanvasRenderingContext2D, [x, y]: Place): void {
    const m = this.matrix;
    const [u, v] = this.place(x, y);
    context.beginPath();
    const across = this.brush * Math.hypot(m[0], m[1]);
    const down = this.brush * Math.hypot(m[2], m[3]);
    const [ru, rv] = m[0] ? [across, down] : [down, across];
    context.ellipse(u, v, ru, rv, 0, 0, 2 * Math.PI);
    context.lineWidth = 1.5;
    context.strokeStyle = "white";
    context.stroke();
  }

  private paintLetters(context: CanvasRenderingContext2D, width: number, height: number): void {
    const edge = letters(this.scan);
    context.font = "bold 15px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const all: [string, number, number][] = [
      [edge.left, 14, height / 2],
      [edge.right, width - 14, height / 2],
      [edge.top, width / 2, 14],
      [edge.bottom, width / 2, height - 14],
    ];
    for (const [letter, u, v] of all) {
      context.lineWidth = 3;
      context.strokeStyle = "black";
      context.strokeText(letter, u, v);
      context.fillStyle = "#ffd54a";
      context.fillText(letter, u, v);
    }
  }
}
