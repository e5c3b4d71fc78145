/** The page at work: one scan, its structures, and what a person does to them. */

import { aboutScan, Live, measured } from "./api";
import type { Hearer } from "./api";
import { Deeds } from "./deeds";
import { byId } from "./dom";
import { pressed } from "./keys";
import { Looking } from "./looking";
import { Panel } from "./panel";
import { Panes } from "./panes";
import { listen } from "./pointer";
import { area, bitmapOf, type Bitmap, type Runs } from "./runs";
import { Strip } from "./strip";
import { paints, type Tool } from "./tools";
import type { Answer, Measures, Problem, Progress, Prompt, Scan, SessionState, Structure } from "./types";
import { Windows } from "./windows";

const MEASURE_AFTER = 350; // ms without a change
const SLOW = 250; // ms of waiting that are told
const CANVASES = ["picture", "plane-1", "plane-2"];

/** What was asked of the server: a prompt, and what is told when it is done. */
export interface Asked {
  prompt: Prompt | null;
  done: string;
}

export class Page implements Hearer {
  scan!: Scan;
  state!: SessionState;
  panes!: Panes;
  windows!: Windows;
  strip!: Strip;
  name = "scan";
  tool: Tool = "point";
  negative = false;
  brush = 6;
  active: string | null = null;
  hidden = new Set<string>();
  masks = new Map<string, Map<number, Runs>>();
  measures: Measures | null = null;
  candidates: { object: string; frame: number; scores: number[]; chosen: number } | null = null;
  spaceHeld: boolean | "used" = false;
  live!: Live;
  readonly looking = new Looking(this);
  readonly deeds = new Deeds(this);
  private readonly panel = new Panel(this);
  preview: Bitmap | null = null;
  previewSeq = 0;
  resting = 0;
  private measuring = 0;
  private slow = 0;
  job: string | null = null;
  waiting = new Map<number, Asked>();
  private ends: (() => void)[] = [];

  /** Shows a scan with its session; one that was open is let go of, and kept on the server. */
  async open(scan: Scan, name: string, session: SessionState): Promise<void> {
    this.close();
    Object.assign(this, {
      name,
      state: session,
      scan,
      active: null,
      measures: null,
      candidates: null,
      preview: null,
      job: null,
    });
    this.masks = new Map();
    this.hidden = new Set();
    this.waiting = new Map();
    location.hash = `session=${session.id}&name=${encodeURIComponent(name)}`;
    document.title = `${name.split("/").at(-1)} · Delineate`;
    byId("start").hidden = true;
    byId("work").hidden = false;
    const planes = [scan, ...(await this.otherPlanes(scan))];
    byId("panes").className = planes.length > 1 ? "several" : "";
    this.panes = new Panes(
      planes,
      CANVASES.map((id) => byId<HTMLCanvasElement>(id)),
      (error) => this.fail(error),
    );
    this.strip = new Strip(byId<HTMLCanvasElement>("strip"), this.scan, (frame) => this.looking.go(frame));
    this.windows = new Windows(
      scan,
      (window) => this.looking.windowed(window),
      (text, wrong) => this.tell(text, wrong),
    );
    this.ends = this.panes.all.map((pane) => listen(this, pane));
    this.panel.open(planes);
    window.onkeydown = (event) => this.key(event);
    window.onkeyup = (event) => this.keyUp(event);
    this.live = new Live(session.id, this);
    this.deeds.choosing("point");
    this.tell(scan.notices[0] ?? "Click on a structure.");
    this.looking.go(session.objects[0]?.prompted[0] ?? this.frame);
  }

  private close(): void {
    this.ends.forEach((end) => end());
    this.live?.close();
    this.looking.pause();
  }

  private async otherPlanes(scan: Scan): Promise<Scan[]> {
    if (scan.kind !== "volume" || scan.shape.slice(0, 3).some((length) => length < 2)) return [];
    const axes = [2, 1, 0].filter((axis) => axis !== scan.slice_axis);
    return Promise.all(axes.map((axis) => aboutScan(scan.id, axis)));
  }

  get frame(): number {
    return this.panes.main.frame;
  }

  get structure(): Structure | null {
    return this.state.objects.find((one) => one.name === this.active) ?? null;
  }

  /** "slice" or "frame". */
  get word(): string {
    return this.scan.kind === "video" ? "frame" : "slice";
  }

  // --- what the server tells ---

  connected(there: boolean): void {
    byId("offline").hidden = there;
    if (!there) {
      this.waiting.clear();
      this.busy();
    }
  }

  gone(code: string): void {
    this.tell(
      `The server has this session no more (${code}). Open the scan again: what was saved is in your files.`,
      true,
    );
  }

  changed(state: SessionState, masks: [string, number, Runs][], all: boolean): void {
    const before = new Set(all ? [] : this.state.objects.map((one) => one.name));
    this.state = state;
    if (all) this.masks.clear();
    const names = new Set(state.objects.map((one) => one.name));
    for (const name of [...this.masks.keys()]) if (!names.has(name)) this.masks.delete(name);
    for (const [name, frame, runs] of masks) {
      if (!names.has(name)) continue;
      if (!this.masks.has(name)) this.masks.set(name, new Map());
      const frames = this.masks.get(name)!;
      if (area(runs)) frames.set(frame, runs);
      else frames.delete(frame);
      this.panes.changed(frames);
    }
    const added = state.objects.find((one) => !before.has(one.name));
    if (!this.active || !names.has(this.active)) this.active = (added ?? state.objects.at(-1))?.name ?? null;
    this.preview = null;
    this.measure();
    this.show();
  }

  answered(answer: Answer, masks: [string, number, Runs][]): void {
    if (answer.preview) {
      if (answer.seq !== this.previewSeq) return;
      this.preview = masks[0] && area(masks[0][2]) ? bitmapOf(masks[0][2]) : null;
      this.show();
      return;
    }
    const asked = this.waiting.get(answer.seq);
    const prompt = asked?.prompt;
    this.waiting.delete(answer.seq);
    this.busy();
    if (answer.job) this.job = answer.job;
    if (answer.moved === false) this.tell("There is nothing more to take back or to do again.");
    else if (asked?.done) this.tell(asked.done);
    if (prompt && answer.object !== undefined && answer.frame !== undefined) {
      this.active = answer.object;
      const scores = answer.candidates ?? [];
      this.candidates = scores.length > 1 ? { object: answer.object, frame: answer.frame, scores, chosen: 0 } : null;
      const sure = Math.round((answer.score ?? 0) * 100);
      const next = this.scan.frames > 1 ? ` G follows it to the other ${this.word}s.` : "";
      if (answer.empty)
        this.tell("Nothing was found there. Click on the structure itself, or draw a box around it.", true);
      else if (prompt.type === "mask") this.tell(`${answer.object}: kept as drawn.${next}`);
      else
        this.tell(
          `${answer.object}: ${sure} % sure.${this.candidates ? " Not what was meant? C shows another outline." : next}`,
        );
      this.measure();
    }
    this.show();
  }

  refused(problem: Problem, seq: number): void {
    if (seq === this.previewSeq) return;
    this.waiting.delete(seq);
    this.busy();
    this.tell(`${problem.title} ${problem.hint}`, true);
  }

  progressed(progress: Progress): void {
    const running = progress.state === "running";
    this.job = running ? progress.job : null;
    this.progress(running ? [progress.done, progress.total] : null);
    if (progress.state === "failed")
      this.tell(
        progress.error ? `${progress.error.title} ${progress.error.hint}` : "Following failed: undo, and try again.",
        true,
      );
    else if (running) this.tell(`Following: ${progress.done} of ${progress.total} ${this.word}s. Esc ends it.`);
    else {
      const doubtful = this.strip.doubtful.length;
      const ended = progress.state === "done" ? "Followed to the end." : "Ended; what was followed stays.";
      this.tell(
        `${ended}${doubtful ? ` ${doubtful} doubtful ${this.word}${doubtful > 1 ? "s" : ""}: N shows the next one.` : ""}`,
      );
    }
    this.show();
  }

  // --- how it looks ---

  show(): void {
    const structure = this.structure;
    const measures = this.measures?.object === this.active ? this.measures : null;
    const axes = this.looking.rules && measures?.frames[this.frame];
    this.panes.show({
      structures: this.state.objects,
      masks: this.masks,
      hidden: this.hidden,
      active: this.active,
      prompts: this.state.prompts,
      preview: this.preview && { runs: this.preview, color: structure?.color ?? [255, 213, 74] },
      axes: axes ? { axes, unit: measures!.unit } : null,
      window: this.windows.window,
    });
    this.panes.main.view.brush = paints(this.tool) ? this.brush : 0;
    this.strip.frame = this.frame;
    this.strip.structure = structure;
    this.strip.draw();
    this.panel.show();
  }

  private measure(): void {
    window.clearTimeout(this.measuring);
    const name = this.active;
    if (!name || !this.masks.get(name)?.size) {
      this.measures = null;
      return;
    }
    this.measuring = window.setTimeout(async () => {
      const found = await measured(this.state.id, name).catch(() => null); // it may be gone by now
      if (name !== this.active) return;
      this.measures = found;
      this.show();
    }, MEASURE_AFTER);
  }

  choose(name: string): void {
    this.active = name;
    this.measure();
    this.show();
  }

  number(number: number): void {
    const one = this.state.objects[number - 1];
    if (one) this.choose(one.name);
    else this.tell(`There is no structure ${number}: M makes a new one.`);
  }

  neighbor(step: number): void {
    const { objects } = this.state;
    if (!objects.length) return;
    const at = objects.findIndex((one) => one.name === this.active);
    this.choose(objects[(at + step + objects.length) % objects.length]!.name);
  }

  tell(text: string, wrong = false): void {
    const line = byId("message");
    line.textContent = text;
    line.classList.toggle("wrong", wrong);
  }

  fail(error: unknown): void {
    this.tell(error instanceof Error ? error.message : String(error), true);
  }

  /** A bar for what takes long: how far it is, or that it runs. */
  progress(share: [number, number] | "unknown" | null): void {
    const bar = byId<HTMLProgressElement>("progress");
    bar.hidden = !share;
    byId("cancel").hidden = !share || share === "unknown";
    if (share === "unknown") bar.removeAttribute("value");
    else if (share) [bar.value, bar.max] = [share[0], share[1] || 1];
  }

  busy(): void {
    window.clearTimeout(this.slow);
    byId("busy").hidden = true;
    if (this.waiting.size) this.slow = window.setTimeout(() => (byId("busy").hidden = false), SLOW);
  }

  private key(event: KeyboardEvent): void {
    if (event.key === " " && !(event.target instanceof HTMLInputElement && event.target.type === "text")) {
      this.spaceHeld ||= true;
      event.preventDefault();
      return;
    }
    if (pressed(this, event)) event.preventDefault();
  }

  /** Space alone plays; held, it lets the pointer move the picture. */
  private keyUp(event: KeyboardEvent): void {
    if (event.key !== " ") return;
    if (this.spaceHeld === true && !(event.target instanceof HTMLInputElement)) this.looking.play();
    this.spaceHeld = false;
  }
}
