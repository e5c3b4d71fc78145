/** The page: one scan, its structures, and what a person does to them. */

import { aboutScan, exported, frameAddress, Live, login, newSession, openPath, ServerProblem, sessionState, upload } from "./api";
import type { Hearer } from "./api";
import { asCommand, asPython, type Log } from "./commands";
import { byId, made, saved } from "./dom";
import { area, type Runs } from "./runs";
import { Strip } from "./strip";
import { edited, promptOf, TOOLS, type Place, type Stroke, type Tool } from "./tools";
import type { Action, Answer, Problem, Progress, Prompt, Scan, SessionState, Structure } from "./types";
import { View } from "./view";

const PREFETCH = 4; // frames on either side
const PREVIEW_AFTER = 60; // ms a pointer rests
const WINDOWS: [string, [number, number]][] = [
  ["soft tissue", [-160, 240]],
  ["lung", [-1350, 150]],
  ["bone", [-450, 1050]],
  ["brain", [0, 80]],
  ["liver", [-45, 105]],
];
const FORMATS: [string, string][] = [
  ["nii.gz", "NIfTI label map"],
  ["seg.nrrd", "3D Slicer segmentation"],
  ["mha", "MetaImage"],
  ["png", "label picture"],
  ["frames", "label pictures, zip"],
  ["json", "COCO"],
  ["log", "prompts, to go on later"],
  ["manifest", "manifest"],
];

class Page implements Hearer {
  private scan!: Scan;
  private state!: SessionState;
  private live!: Live;
  private view!: View;
  private strip!: Strip;
  private name = "scan";
  private frame = 0;
  private tool: Tool = "point";
  private negative = false;
  private brush = 6;
  private window: [number, number] | null = null;
  private masks = new Map<string, Map<number, Runs>>();
  private active: string | null = null;
  private preview: Runs | null = null;
  private previewSeq = 0;
  private resting = 0;
  private candidates: { object: string; frame: number; count: number; chosen: number } | null = null;
  private waiting = new Map<number, Prompt | null>();
  private job: string | null = null;
  private pictures = new Map<string, Promise<ImageBitmap>>();
  private panning: Place | null = null;

  /** Shows a scan: a new session, or one that is there. */
  async open(scan: Scan, name: string, session?: SessionState): Promise<void> {
    this.scan = scan;
    this.name = name;
    this.state = session ?? (await newSession(scan.id));
    location.hash = `session=${this.state.id}&name=${encodeURIComponent(name)}`;
    byId("start").hidden = true;
    byId("work").hidden = false;
    byId("file").textContent = name;
    document.title = `${name} · Delineate`;
    byId("about").textContent = `${scan.kind}, ${scan.width} × ${scan.height}${scan.frames > 1 ? ` × ${scan.frames}` : ""}${scan.modality !== "unknown" ? `, ${scan.modality}` : ""}`;
    this.view = new View(byId<HTMLCanvasElement>("picture"), scan);
    this.strip = new Strip(byId<HTMLCanvasElement>("strip"), (frame) => this.go(frame));
    this.strip.frames = scan.frames;
    byId("frames").hidden = scan.frames === 1;
    byId("follow").hidden = scan.frames === 1;
    const slider = byId<HTMLInputElement>("slider");
    slider.max = String(scan.frames - 1);
    slider.oninput = () => this.go(Number(slider.value));
    this.fillTools();
    this.fillWindows();
    this.listen();
    this.live = new Live(this.state.id, this);
    this.tell(scan.notices[0] ?? "Click on a structure.");
    const prompted = this.state.objects[0]?.prompted[0];
    this.go(prompted ?? Math.floor(scan.frames / 2));
  }

  // --- what the server tells ---

  connected(there: boolean): void {
    byId("offline").hidden = there;
  }

  changed(state: SessionState, masks: [string, number, Runs][]): void {
    this.state = state;
    for (const name of this.masks.keys()) {
      if (!state.objects.some((one) => one.name === name)) this.masks.delete(name);
    }
    for (const [name, frame, runs] of masks) {
      if (!this.masks.has(name)) this.masks.set(name, new Map());
      if (area(runs)) this.masks.get(name)!.set(frame, runs);
      else this.masks.get(name)!.delete(frame);
    }
    if (!this.active || !state.objects.some((one) => one.name === this.active)) {
      this.active = state.objects.at(-1)?.name ?? null;
    }
    this.preview = null;
    this.show();
  }

  answered(answer: Answer, masks: [string, number, Runs][]): void {
    if (answer.preview) {
      if (answer.seq === this.previewSeq) {
        this.preview = masks[0]?.[2] ?? null;
        this.show();
      }
      return;
    }
    const prompt = this.waiting.get(answer.seq);
    this.waiting.delete(answer.seq);
    this.busy();
    if (answer.job) this.job = answer.job;
    if (prompt && answer.object !== undefined && answer.frame !== undefined) {
      this.active = answer.object;
      const count = answer.candidates?.length ?? 0;
      this.candidates = count > 1 ? { object: answer.object, frame: answer.frame, count, chosen: 0 } : null;
      const sure = Math.round((answer.score ?? 0) * 100);
      this.tell(answer.empty ? "Nothing was found there. Click on the structure itself." : `${answer.object}: ${sure} % sure.${count > 1 ? " Not what was meant? C shows another outline." : ""}`);
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
    const bar = byId<HTMLProgressElement>("progress");
    bar.hidden = !running;
    bar.max = progress.total || 1;
    bar.value = progress.done;
    byId("cancel").hidden = !running;
    if (progress.state === "failed") this.tell(progress.error ? `${progress.error.title} ${progress.error.hint}` : "", true);
    else if (running) this.tell(`Following: ${progress.done} of ${progress.total}. Esc ends it.`);
    else {
      const doubtful = this.strip.doubtful.length;
      const ended = progress.state === "done" ? "Followed to the end." : "Ended; what was followed stays.";
      this.tell(`${ended}${doubtful ? ` ${doubtful} doubtful: N shows the next one.` : ""}`);
    }
  }

  // --- what a person does ---

  go(frame: number): void {
    this.frame = Math.min(this.scan.frames - 1, Math.max(0, frame));
    this.preview = null;
    this.candidates = null;
    byId<HTMLInputElement>("slider").value = String(this.frame);
    byId("frame").textContent = `${this.scan.kind === "video" ? "frame" : "slice"} ${this.frame} of ${this.scan.frames - 1}`;
    void this.load();
    this.show();
  }

  private async load(): Promise<void> {
    const [frame, shown] = [this.frame, this.window];
    for (let step = 0; step <= PREFETCH; step++) {
      for (const near of step ? [frame + step, frame - step] : [frame]) {
        if (near >= 0 && near < this.scan.frames) void this.picture(near);
      }
    }
    try {
      const image = await this.picture(frame);
      if (frame === this.frame && shown === this.window) {
        this.view.image = image;
        this.view.draw();
        setTimeout(() => frame === this.frame && this.live.look(frame), 150);
      }
    } catch (error) {
      this.tell(String(error instanceof Error ? error.message : error), true);
    }
  }

  private picture(frame: number): Promise<ImageBitmap> {
    const address = frameAddress(this.scan, frame, this.window);
    let known = this.pictures.get(address);
    if (!known) {
      known = fetch(address).then(async (answer) => {
        if (!answer.ok) throw new ServerProblem(await answer.json());
        return createImageBitmap(await answer.blob());
      });
      known.catch(() => this.pictures.delete(address));
      this.pictures.set(address, known);
      if (this.pictures.size > 64) this.pictures.delete(this.pictures.keys().next().value!);
    }
    return known;
  }

  private act(action: Action): void {
    this.preview = null;
    window.clearTimeout(this.resting);
    const prompt = action.event === "prompt" ? action.prompt : null;
    this.waiting.set(this.live.act(action), prompt);
    this.busy();
  }

  private target(): string {
    if (this.active) return this.active;
    return this.free("structure");
  }

  private free(stem: string): string {
    let number = 1;
    while (this.state.objects.some((one) => one.name === `${stem} ${number}`)) number++;
    return `${stem} ${number}`;
  }

  private finish(stroke: Stroke): void {
    if (stroke.tool === "brush" || stroke.tool === "eraser") {
      const name = this.target();
      const before = this.masks.get(name)?.get(this.frame);
      const runs = edited(stroke, before, this.brush, [this.scan.width, this.scan.height]);
      if (!runs) {
        this.tell("An outline cannot be erased wholly: undo, or remove the structure.", true);
        this.show();
        return;
      }
      this.act({ event: "prompt", object: name, prompt: { type: "mask", ...runs, frame: this.frame } });
      return;
    }
    const prompt = promptOf(stroke, this.frame, this.scan.width, this.scan.height);
    if (prompt) this.act({ event: "prompt", object: this.target(), prompt });
    this.show();
  }

  private follow(): void {
    if (!this.state.objects.length) {
      this.tell("Point at a structure first.", true);
      return;
    }
    this.waiting.set(this.live.follow(this.active ? [this.active] : []), null);
    this.busy();
  }

  private step(back: boolean): void {
    this.candidates = null;
    this.waiting.set(this.live.step(back), null);
    this.busy();
  }

  private nextCandidate(): void {
    const offer = this.candidates;
    if (!offer) {
      this.tell("There is one outline only: add a click, or right click on what does not belong to it.");
      return;
    }
    offer.chosen = (offer.chosen + 1) % offer.count;
    const { object, frame, chosen } = offer;
    this.act({ event: "choose", object, frame, candidate: chosen });
    this.candidates = offer;
  }

  private nextDoubtful(): void {
    const doubtful = this.strip.doubtful;
    if (!doubtful.length) {
      this.tell("No outline is doubted.");
      return;
    }
    const next = doubtful[(doubtful.indexOf(this.frame) + 1) % doubtful.length]!;
    this.go(next);
    this.tell(`${Math.round((this.strip.structure?.scores[next] ?? 0) * 100)} % sure here: click to correct it.`);
  }

  private async save(format: string): Promise<void> {
    try {
      await saved(await exported(this.state.id, format));
    } catch (error) {
      this.tell(error instanceof Error ? error.message : String(error), true);
    }
  }

  private async copy(python: boolean): Promise<void> {
    try {
      const log: Log = await (await exported(this.state.id, "log")).json();
      const text = python ? asPython(log, this.name) : asCommand(log, this.name);
      if (!text) {
        this.tell("Painted outlines are no options of a command: save the prompts, and give them with --prompts.", true);
        return;
      }
      await navigator.clipboard.writeText(text);
      this.tell(python ? "Copied as Python." : `Copied: ${text.slice(0, 100)}${text.length > 100 ? "…" : ""}`);
    } catch (error) {
      this.tell(error instanceof Error ? error.message : String(error), true);
    }
  }

  // --- how it looks ---

  private show(): void {
    const shown = this.state.objects.flatMap((one) => {
      const runs = this.masks.get(one.name)?.get(this.frame);
      return runs ? [{ runs, color: one.color, preview: false }] : [];
    });
    const color = this.structure?.color ?? [255, 213, 74];
    this.view.shown = this.preview ? [...shown, { runs: this.preview, color, preview: true }] : shown;
    const colors = new Map(this.state.objects.map((one) => [one.name, one.color]));
    this.view.prompts = this.state.prompts
      .filter(({ object, prompt }) => colors.has(object) && prompt.frame === this.frame)
      .map(({ object, prompt }) => ({ prompt, color: colors.get(object)! }));
    this.view.brush = this.tool === "brush" || this.tool === "eraser" ? this.brush : 0;
    this.view.draw();
    this.strip.frame = this.frame;
    this.strip.structure = this.structure;
    this.strip.draw();
    byId<HTMLButtonElement>("undo").disabled = !this.state.can_undo;
    byId<HTMLButtonElement>("redo").disabled = !this.state.can_redo;
    byId<HTMLButtonElement>("follow").disabled = !this.state.objects.length;
    byId<HTMLButtonElement>("other").disabled = !this.candidates;
    byId<HTMLButtonElement>("doubt").disabled = !this.strip.doubtful.length;
    this.fillStructures();
  }

  private get structure(): Structure | null {
    return this.state.objects.find((one) => one.name === this.active) ?? null;
  }

  private fillStructures(): void {
    const rows = this.state.objects.map((one, n) => {
      const swatch = made("span", { className: "swatch" });
      swatch.style.background = `rgb(${one.color.join(" ")})`;
      const ml = this.scan.kind === "volume" && one.volume_mm3 ? `${(one.volume_mm3 / 1000).toFixed(1)} ml` : `${this.masks.get(one.name)?.size ?? 0} frames`;
      const lock = made("button", { className: "small", textContent: one.locked ? "🔒" : "🔓", title: one.locked ? "Protected; click to change it again" : "Protect it against changes" });
      lock.onclick = (event) => {
        event.stopPropagation();
        this.act({ event: "lock_object", object: one.name, locked: !one.locked });
      };
      const remove = made("button", { className: "small", textContent: "✕", title: "Remove this structure" });
      remove.onclick = (event) => {
        event.stopPropagation();
        this.act({ event: "remove_object", object: one.name });
      };
      const choose = made("button", { className: "name", title: `Structure ${n + 1}` }, swatch, one.name);
      choose.onclick = () => this.choose(one.name);
      return made("li", { className: one.name === this.active ? "active" : "" }, choose, made("span", { className: "size", textContent: ml }), lock, remove);
    });
    byId("structures").replaceChildren(...rows);
  }

  private choose(name: string): void {
    this.active = name;
    this.show();
  }

  private add(): void {
    const field = byId<HTMLInputElement>("new-name");
    const name = field.value.trim() || this.free("structure");
    field.value = "";
    field.blur();
    this.active = name;
    this.act({ event: "add_object", object: name });
  }

  private choosing(tool: Tool): void {
    this.tool = tool;
    for (const button of byId("tools").children) button.classList.toggle("active", (button as HTMLElement).dataset.tool === tool);
    byId("brush-size").hidden = tool !== "brush" && tool !== "eraser";
    this.show();
  }

  private fillTools(): void {
    const buttons = TOOLS.map(([tool, name, key, about]) => {
      const button = made("button", { textContent: name, title: `${about} (${key})` });
      button.dataset.tool = tool;
      button.onclick = () => this.choosing(tool);
      return button;
    });
    byId("tools").replaceChildren(...buttons);
    const size = byId<HTMLInputElement>("brush-radius");
    size.oninput = () => {
      this.brush = Number(size.value);
      this.show();
    };
    this.choosing(this.tool);
    byId("formats").replaceChildren(...FORMATS.map(([format, about]) => {
      const button = made("button", { textContent: about, title: format });
      button.onclick = () => void this.save(format);
      return button;
    }));
  }

  private fillWindows(): void {
    const choice = byId<HTMLSelectElement>("window");
    const [low, high] = [byId<HTMLInputElement>("low"), byId<HTMLInputElement>("high")];
    const set = (shown: [number, number] | null) => {
      this.window = shown;
      [low.value, high.value] = (shown ?? this.scan.window).map((value) => String(Math.round(value * 100) / 100)) as [string, string];
      void this.load();
    };
    const named = this.scan.modality === "CT" ? WINDOWS : [];
    choice.replaceChildren(made("option", { textContent: "as the scan says", value: "" }), ...named.map(([name], n) => made("option", { textContent: name, value: String(n) })));
    choice.onchange = () => set(choice.value ? named[Number(choice.value)]![1] : null);
    const typed = () => {
      const [from, to] = [Number(low.value), Number(high.value)];
      if (from < to) set([from, to]);
      else this.tell("A window's low end lies below its high end.", true);
    };
    low.onchange = high.onchange = typed;
    set(null);
  }

  private tell(text: string, wrong = false): void {
    const line = byId("message");
    line.textContent = text;
    line.classList.toggle("wrong", wrong);
  }

  private busy(): void {
    byId("busy").hidden = this.waiting.size === 0;
  }

  // --- pointer and keys ---

  private listen(): void {
    const canvas = byId<HTMLCanvasElement>("picture");
    const at = (event: PointerEvent | WheelEvent): Place => {
      const edge = canvas.getBoundingClientRect();
      return [event.clientX - edge.left, event.clientY - edge.top];
    };
    canvas.oncontextmenu = (event) => event.preventDefault();
    canvas.onpointerdown = (event) => {
      canvas.setPointerCapture(event.pointerId);
      if (event.button === 1) {
        this.panning = at(event);
        return;
      }
      const place = this.view.pixel(...at(event));
      if (!this.view.contains(place) && this.tool !== "box" && this.tool !== "lasso") return;
      const positive = !(event.button === 2 || event.ctrlKey || event.altKey || this.negative);
      this.view.stroke = { tool: this.tool, positive, places: [place] };
      this.view.draw();
    };
    canvas.onpointermove = (event) => {
      const where = at(event);
      if (this.panning) {
        this.view.pan = [this.view.pan[0] + where[0] - this.panning[0], this.view.pan[1] + where[1] - this.panning[1]];
        this.panning = where;
        this.view.draw();
        return;
      }
      const place = this.view.pixel(...where);
      this.view.pointer = place;
      if (this.view.stroke) this.view.stroke.places.push(place);
      else if (this.tool === "point") this.hover(place);
      this.view.draw();
    };
    canvas.onpointerup = () => {
      this.panning = null;
      const stroke = this.view.stroke;
      this.view.stroke = null;
      if (stroke) this.finish(stroke);
    };
    canvas.onpointerleave = () => {
      window.clearTimeout(this.resting);
      this.view.pointer = null;
      this.preview = null;
      this.previewSeq = 0;
      this.show();
    };
    canvas.onwheel = (event) => {
      event.preventDefault();
      if (event.ctrlKey) this.view.zoomAt(...at(event), event.deltaY < 0 ? 1.2 : 1 / 1.2);
      else this.go(this.frame + Math.sign(event.deltaY));
    };
    window.onkeydown = (event) => this.key(event);
    byId("undo").onclick = () => this.step(true);
    byId("redo").onclick = () => this.step(false);
    byId("follow").onclick = () => this.follow();
    byId("cancel").onclick = () => this.job && this.live.cancel(this.job);
    byId("other").onclick = () => this.nextCandidate();
    byId("doubt").onclick = () => this.nextDoubtful();
    byId("add").onclick = () => this.add();
    byId("fit").onclick = () => this.view.reset();
    byId("copy-command").onclick = () => void this.copy(false);
    byId("copy-python").onclick = () => void this.copy(true);
    byId("new-name").onkeydown = (event) => event.key === "Enter" && this.add();
    byId<HTMLInputElement>("opacity").oninput = (event) => {
      this.view.fill = Number((event.target as HTMLInputElement).value);
      this.view.draw();
    };
  }

  /** What a click here would give, once the pointer rests. */
  private hover(place: Place): void {
    window.clearTimeout(this.resting);
    if (!this.view.contains(place) || this.waiting.size || this.structure?.locked) return;
    if (this.masks.get(this.active ?? "")?.has(this.frame)) return;
    this.resting = window.setTimeout(() => {
      const prompt = promptOf({ tool: "point", positive: true, places: [place] }, this.frame, this.scan.width, this.scan.height);
      if (prompt) this.previewSeq = this.live.preview({ event: "prompt", object: this.target(), prompt });
    }, PREVIEW_AFTER);
  }

  private key(event: KeyboardEvent): void {
    if (event.target instanceof HTMLInputElement && event.target.type !== "range") return;
    if (event.target instanceof HTMLSelectElement) return;
    const keys = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    const tool = TOOLS.find(([, , key]) => key.toLowerCase() === letter);
    const digit = Number(event.key);
    if (keys && letter === "z") this.step(!event.shiftKey);
    else if (keys && letter === "y") this.step(false);
    else if (keys) return;
    else if (tool) this.choosing(tool[0]);
    else if (letter === "t") this.toggle();
    else if (letter === "v") this.hide();
    else if (letter === "c") this.nextCandidate();
    else if (letter === "n") this.nextDoubtful();
    else if (letter === "f") this.follow();
    else if (letter === "m") byId("new-name").focus();
    else if (letter === "?") byId<HTMLDialogElement>("help").showModal();
    else if (event.key === "Escape") byId("cancel").click();
    else if (["ArrowRight", "ArrowDown", "PageDown"].includes(event.key)) this.go(this.frame + 1);
    else if (["ArrowLeft", "ArrowUp", "PageUp"].includes(event.key)) this.go(this.frame - 1);
    else if (event.key === "Home") this.go(0);
    else if (event.key === "End") this.go(this.scan.frames - 1);
    else if (digit >= 1 && this.state.objects[digit - 1]) this.choose(this.state.objects[digit - 1]!.name);
    else return;
    event.preventDefault();
  }

  private toggle(): void {
    this.negative = !this.negative;
    this.tell(this.negative ? "Clicks say what does not belong to it (T changes it)." : "Clicks say what belongs to it (T changes it).");
  }

  private hide(): void {
    this.view.outlines = !this.view.outlines;
    this.show();
  }
}

async function begin(): Promise<void> {
  const message = byId("start-message");
  const fields = new URLSearchParams(location.hash.slice(1));
  const tell = (error: unknown) => {
    message.textContent = error instanceof Error ? error.message : String(error);
    message.classList.add("wrong");
  };
  const page = new Page();
  try {
    const token = fields.get("token");
    if (token) {
      await login(token);
      fields.delete("token");
      history.replaceState(null, "", `#${fields}`);
    }
    const [session, path] = [fields.get("session"), fields.get("open")];
    if (session) {
      const state = await sessionState(session);
      await page.open(await aboutScan(state.scan), fields.get("name") ?? "scan", state);
    } else if (path) {
      message.textContent = `Opening ${path} …`;
      await page.open(await openPath(path), path);
    }
  } catch (error) {
    tell(error);
  }
  const take = async (files: File[]) => {
    if (!files.length) return;
    try {
      const scan = await upload(files, (share) => (message.textContent = `Sending … ${Math.round(share * 100)} %`));
      location.hash = "";
      await page.open(scan, files.length === 1 ? files[0]!.name : `${files.length} files`);
    } catch (error) {
      tell(error);
    }
  };
  for (const id of ["one-file", "folder"]) {
    const field = byId<HTMLInputElement>(id);
    field.onchange = () => void take([...(field.files ?? [])]);
  }
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault();
    void take([...(event.dataTransfer?.files ?? [])]);
  };
  byId("close-help").onclick = () => byId<HTMLDialogElement>("help").close();
  byId("show-help").onclick = () => byId<HTMLDialogElement>("help").showModal();
}

void begin();
