/** What a person does: prompts, choices, following, cleaning, undo. */

import { aboutScan, newSession } from "./api";
import { byId } from "./dom";
import type { Page } from "./page";
import { planeName, voxelAt } from "./planes";
import { edited, paints, promptOf, type Stroke, type Tool } from "./tools";
import type { Action, CleanSteps, Prompt } from "./types";

const OFFLINE =
  "The server does not answer, and nothing was changed. It is asked again every second; if it was ended, start it again: delineate open.";

export class Deeds {
  constructor(private readonly page: Page) {}

  act(action: Action, done = ""): void {
    this.page.preview = null;
    window.clearTimeout(this.page.resting);
    this.wait(this.page.live.act(action), action.event === "prompt" ? action.prompt : null, done);
  }

  private wait(seq: number, prompt: Prompt | null = null, done = ""): void {
    if (!seq) {
      this.page.tell(OFFLINE, true);
      return;
    }
    this.page.waiting.set(seq, { prompt, done });
    this.page.busy();
  }

  /** The structure that is meant: the active one, or the one whose name is being typed. */
  target(): string {
    const typed = byId<HTMLInputElement>("new-name").value.trim();
    if (typed) return typed;
    return this.page.active ?? this.free("structure");
  }

  private free(stem: string): string {
    let number = 1;
    while (this.page.state.objects.some((one) => one.name === `${stem} ${number}`)) number++;
    return `${stem} ${number}`;
  }

  finish(stroke: Stroke): void {
    if (stroke.tool === "point" && stroke.places[0])
      this.page.panes.cursor = voxelAt(this.page.scan, this.page.frame, stroke.places[0]);
    const prompt = paints(stroke.tool)
      ? this.painted(stroke)
      : promptOf(stroke, this.page.frame, this.page.scan.width, this.page.scan.height);
    if (prompt) this.act({ event: "prompt", object: this.target(), prompt });
    byId<HTMLInputElement>("new-name").value = "";
    this.page.show();
    this.page.panes.load();
  }

  private painted(stroke: Stroke): Prompt | null {
    const before = this.page.masks.get(this.target())?.get(this.page.frame);
    const runs = edited(stroke, before, this.page.brush, [this.page.scan.width, this.page.scan.height]);
    if (!runs) this.page.tell("An outline cannot be erased wholly: undo, or remove the structure.", true);
    return runs && { type: "mask", ...runs, frame: this.page.frame };
  }

  follow(): void {
    if (this.page.scan.frames === 1) this.page.tell("A picture has nothing to follow to.");
    else if (!this.page.masks.size) this.page.tell("Point at a structure first.", true);
    else if (this.page.job) this.page.tell("It is following already: Esc ends it.");
    else this.wait(this.page.live.follow(this.page.active ? [this.page.active] : []));
  }

  stop(): void {
    this.page.looking.pause();
    if (this.page.job) this.wait(this.page.live.cancel(this.page.job));
  }

  step(back: boolean): void {
    this.page.candidates = null;
    this.wait(this.page.live.step(back), null, back ? "Taken back. Ctrl+Y does it again." : "Done again.");
  }

  nextCandidate(): void {
    const offer = this.page.candidates;
    if (!offer) this.page.tell("There is one outline only: add a click, or right click on what does not belong to it.");
    else this.candidate((offer.chosen + 1) % offer.scores.length);
  }

  candidate(chosen: number): void {
    const offer = this.page.candidates!;
    this.act({ event: "choose", object: offer.object, frame: offer.frame, candidate: chosen });
    this.page.candidates = { ...offer, chosen };
    this.page.tell(
      `Outline ${chosen + 1} of ${offer.scores.length}: ${Math.round(offer.scores[chosen]! * 100)} % sure.`,
    );
    this.page.show();
  }

  /** The outline on this frame is right: it is followed from, and doubted no more. */
  accept(): void {
    const runs = this.page.masks.get(this.page.active ?? "")?.get(this.page.frame);
    const one = this.page.structure;
    if (!one || !runs) this.page.tell(`Nothing is outlined on this ${this.page.word}: click on the structure.`, true);
    else if (one.prompted.includes(this.page.frame)) this.page.tell(`This ${this.page.word} is yours already.`);
    else this.act({ event: "prompt", object: one.name, prompt: { type: "mask", ...runs, frame: this.page.frame } });
  }

  nextDoubtful(): void {
    const { doubtful } = this.page.strip;
    if (!doubtful.length) {
      this.page.tell(`No ${this.page.word} is doubted.`);
      return;
    }
    const next = doubtful[(doubtful.indexOf(this.page.frame) + 1) % doubtful.length]!;
    this.page.looking.go(next);
    this.page.tell(
      `${Math.round((this.page.structure?.scores[next] ?? 0) * 100)} % sure here: click to correct it, or Enter if it is right.`,
    );
  }

  /** ``name`` is what is told of it. */
  clean(steps: CleanSteps, name: string): void {
    const one = this.page.structure;
    if (one) this.act({ event: "clean", object: one.name, steps }, `${one.name}: ${name}. Ctrl+Z takes it back.`);
  }

  interpolate(): void {
    const one = this.page.structure;
    if (one)
      this.act(
        { event: "interpolate", object: one.name },
        `${one.name}: the ${this.page.word}s between are filled by its shapes.`,
      );
  }

  add(given: string): void {
    const name = given.trim() || this.free("structure");
    if (this.page.state.objects.some((one) => one.name === name)) {
      this.page.tell(`There is a structure "${name}" already: choose it in the list, or type another name.`, true);
      return;
    }
    this.page.active = name;
    this.act({ event: "add_object", object: name });
    this.page.tell(`Click on ${name}.`);
  }

  /** Begins another session on the same scan: from nothing, or with outlines made in another plane. */
  async again(axis: number): Promise<void> {
    try {
      const session = await newSession(this.page.scan.id, this.page.scan.kind === "volume" ? axis : null);
      await this.page.open(
        this.page.scan.kind === "volume" ? await aboutScan(this.page.scan.id, axis) : this.page.scan,
        this.page.name,
        session,
      );
      this.page.tell(
        this.page.scan.kind === "volume"
          ? `${planeName(this.page.scan)} slices are outlined now. Click on a structure.`
          : "A new session. Click on a structure.",
      );
    } catch (error) {
      this.page.fail(error);
    }
  }

  toggle(): void {
    this.page.negative = !this.page.negative;
    this.page.tell(
      this.page.negative
        ? "Clicks say what does not belong to it (T changes it)."
        : "Clicks say what belongs to it (T changes it).",
    );
    this.page.show();
  }

  resize(step: number): void {
    this.page.brush = Math.min(40, Math.max(1, this.page.brush + step));
    this.page.show();
  }

  choosing(tool: Tool): void {
    this.page.tool = tool;
    this.page.preview = null;
    this.page.show();
  }
}
