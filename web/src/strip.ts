/** The strip under the picture: every frame, how sure the outline on it is, where a person pointed. */

import type { Structure } from "./types";

const UNSURE = 0.7;

export class Strip {
  frames = 1;
  frame = 0;
  structure: Structure | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly chosen: (frame: number) => void,
  ) {
    const choose = (event: PointerEvent) => {
      const share = (event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth;
      this.chosen(Math.min(this.frames - 1, Math.max(0, Math.floor(share * this.frames))));
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      choose(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) choose(event);
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
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
    const { canvas, frames } = this;
    canvas.width = canvas.clientWidth;
    canvas.height = canvas.clientHeight;
    const context = canvas.getContext("2d")!;
    const width = canvas.width / frames;
    for (const [frame, score] of Object.entries(this.structure?.scores ?? {})) {
      context.fillStyle = `hsl(${Math.round(Math.max(0, Math.min(1, (score - 0.3) / 0.65)) * 130)} 70% 45%)`;
      context.fillRect(Number(frame) * width, 4, Math.max(1, width - 0.5), canvas.height - 8);
    }
    context.fillStyle = "white";
    for (const frame of this.structure?.prompted ?? []) {
      context.beginPath();
      context.arc((frame + 0.5) * width, 4, 3.5, 0, 2 * Math.PI);
      context.fill();
    }
    context.strokeStyle = "#ffd54a";
    context.lineWidth = 2;
    context.strokeRect(this.frame * width + 0.5, 1, Math.max(3, width - 1), canvas.height - 2);
  }
}
