/** The strip under the picture: every frame, how sure the outline on it is, where a person pointed. */

import type { Scan, Structure } from "./types";

const UNSURE = 0.7;

export class Strip {
  frame = 0;
  structure: Structure | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly scan: Scan,
    chosen: (frame: number) => void,
  ) {
    canvas.onpointerdown = (event) => {
      canvas.setPointerCapture(event.pointerId);
      chosen(this.at(event));
    };
    canvas.onpointermove = (event) => {
      canvas.title = this.about(this.at(event));
      if (event.buttons) chosen(this.at(event));
    };
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  private at(event: PointerEvent): number {
    const share = (event.clientX - this.canvas.getBoundingClientRect().left) / this.canvas.clientWidth;
    return Math.min(this.scan.frames - 1, Math.max(0, Math.floor(share * this.scan.frames)));
  }

  private about(frame: number): string {
    const word = `${this.scan.kind === "video" ? "frame" : "slice"} ${frame}`;
    const score = this.structure?.scores[frame];
    if (this.structure?.prompted.includes(frame)) return `${word}: you pointed here`;
    return score === undefined ? word : `${word}: ${Math.round(score * 100)} % sure`;
  }

  /** Frames of the structure that are doubted, the worst first; those a person pointed at are not. */
  get doubtful(): number[] {
    const one = this.structure;
    if (!one) return [];
    return Object.entries(one.scores)
      .map(([frame, score]) => [Number(frame), score] as const)
      .filter(([frame, score]) => score < UNSURE && !one.prompted.includes(frame))
      .sort((a, b) => a[1] - b[1])
      .map(([frame]) => frame);
  }

  draw(): void {
    const { canvas, scan } = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const context = canvas.getContext("2d")!;
    context.scale(ratio, ratio);
    const [across, height] = [canvas.clientWidth, canvas.clientHeight];
    const width = across / scan.frames;
    const gap = width > 4 ? 1 : 0;
    for (const [frame, score] of Object.entries(this.structure?.scores ?? {})) {
      const share = Math.max(0, Math.min(1, (score - 0.3) / 0.65));
      context.fillStyle = `hsl(${Math.round(share * 130)} 62% 45%)`;
      const tall = 6 + share * (height - 12);
      context.fillRect(Number(frame) * width, height - 3 - tall, Math.max(1, width - gap), tall);
    }
    for (const frame of this.structure?.prompted ?? []) {
      context.beginPath();
      context.arc((frame + 0.5) * width, 4.5, 3.2, 0, 2 * Math.PI);
      context.fillStyle = "white";
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = "#0b0d10";
      context.stroke();
    }
    context.strokeStyle = "#ffd54a";
    context.lineWidth = 2;
    context.strokeRect(this.frame * width + 1, 1, Math.max(3, width - 2), height - 2);
  }
}
