/** The column beside the pictures: tools, structures with their sizes, what can be done to them. */

import { byId, iconButton, made } from "./dom";
import { askForExample } from "./likeness";
import type { Page } from "./page";
import { axisOf, planeName } from "./planes";
import { Saving } from "./saving";
import { paints, TOOLS } from "./tools";
import type { CleanSteps, Scan, Structure } from "./types";

const SHAPES: [string, string, CleanSteps][] = [
  ["Smooth", "Smooth its border by 1 mm, or 1 pixel where no mm are known; the size stays", { smooth: 1 }],
  ["Fill holes", "Fill what it encloses within each slice or frame", { holes_in_slices: true }],
  ["Largest part", "Keep its largest connected part alone", { largest: true }],
];

const DONE: Record<string, string> = {
  Smooth: "smoothed",
  "Fill holes": "holes filled",
  "Largest part": "its largest part kept",
};

export class Panel {
  private readonly saving: Saving;

  constructor(private readonly page: Page) {
    this.saving = new Saving(page);
  }

  /** What depends on the scan. */
  open(planes: Scan[]): void {
    const { page } = this;
    const { scan } = page;
    const size = `${scan.width} × ${scan.height}${scan.frames > 1 ? ` × ${scan.frames}` : ""}`;
    const spacing = scan.kind === "volume" && scan.placement !== "pixels" ? this.spacing(scan) : "";
    byId("file").textContent = page.name.split("/").at(-1)!;
    byId("file").title = page.name;
    byId("about").textContent = [
      scan.modality === "unknown" ? "" : scan.modality,
      `${scan.kind} ${size}`,
      spacing,
      page.state.model,
    ]
      .filter(Boolean)
      .join(" · ");
    for (const id of ["frames", "follow", "doubt", "interpolate", "accept"]) byId(id).hidden = scan.frames === 1;
    byId("planes-row").hidden = planes.length < 2;
    byId("interpolate").textContent = `Interpolate between ${page.word}s`;
    const slider = byId<HTMLInputElement>("slider");
    slider.max = String(scan.frames - 1);
    slider.oninput = () => page.looking.go(Number(slider.value));
    this.fillTools();
    this.fillPlanes(planes);
    this.fillActions();
    this.saving.open();
  }

  private spacing(scan: Scan): string {
    const lengths = [0, 1, 2].map((axis) => Math.hypot(...[0, 1, 2].map((row) => scan.affine[row]![axis]!)));
    return `${lengths.map((mm) => Number(mm.toFixed(2))).join(" × ")} mm`;
  }

  private fillTools(): void {
    byId("tools").replaceChildren(
      ...TOOLS.filter(([tool]) => tool !== "look" || this.page.panes.all.length > 1).map(([tool, name, key, about]) => {
        const button = made("button", { title: `${about} (${key})` }, name, made("kbd", { textContent: key }));
        button.dataset.tool = tool;
        button.onclick = () => this.page.deeds.choosing(tool);
        return button;
      }),
    );
    const size = byId<HTMLInputElement>("brush-radius");
    size.oninput = () => this.page.deeds.resize(Number(size.value) - this.page.brush);
    const sign = made("button", {
      id: "sign",
      title: "Whether clicks say what belongs to it, or what does not (T)",
      onclick: () => this.page.deeds.toggle(),
    });
    byId("tools").append(sign);
  }

  /** Which plane is outlined; another one is another session. */
  private fillPlanes(planes: Scan[]): void {
    const choice = byId<HTMLSelectElement>("axis");
    choice.replaceChildren(
      ...planes.map((plane) => made("option", { value: String(axisOf(plane)), textContent: planeName(plane) })),
    );
    choice.onchange = () => {
      const axis = Number(choice.value);
      choice.value = String(axisOf(this.page.scan));
      this.asked(
        `Outline ${planeName(planes.find((plane) => axisOf(plane) === axis)!).toLowerCase()} slices in a new session?`,
        axis,
      );
    };
  }

  private asked(question: string, axis: number): void {
    if (!this.page.state.objects.length) {
      void this.page.deeds.again(axis);
      return;
    }
    const dialog = byId<HTMLDialogElement>("anew");
    byId("anew-question").textContent = question;
    byId("anew-yes").onclick = () => {
      dialog.close();
      void this.page.deeds.again(axis);
    };
    byId("anew-no").onclick = () => dialog.close();
    dialog.showModal();
  }

  private fillActions(): void {
    const { page } = this;
    const acts: Record<string, () => void> = {
      undo: () => page.deeds.step(true),
      redo: () => page.deeds.step(false),
      follow: () => page.deeds.follow(),
      cancel: () => page.deeds.stop(),
      doubt: () => page.deeds.nextDoubtful(),
      accept: () => page.deeds.accept(),
      interpolate: () => page.deeds.interpolate(),
      fit: () => page.looking.fit(),
      layout: () => page.looking.planes(),
      ruler: () => page.looking.ruler(),
      outlines: () => page.looking.hide(),
      play: () => page.looking.play(),
      add: () => this.add(),
      "like-open": () => void askForExample(page),
      new: () => this.asked("Begin a new session on this scan?", axisOf(page.scan)),
      "show-help": () => byId<HTMLDialogElement>("help").showModal(),
      "close-help": () => byId<HTMLDialogElement>("help").close(),
    };
    for (const [id, act] of Object.entries(acts)) byId(id).onclick = act;
    byId("shapes").replaceChildren(
      ...SHAPES.map(([name, title, steps]) =>
        made("button", { textContent: name, title, onclick: () => page.deeds.clean(steps, DONE[name]!) }),
      ),
    );
    byId("new-name").onkeydown = (event) => {
      if (event.key === "Enter") this.add();
      else if (event.key === "Escape") byId("new-name").blur();
    };
    byId<HTMLInputElement>("opacity").oninput = (event) => {
      for (const { view } of page.panes.all) {
        view.fill = Number((event.target as HTMLInputElement).value);
        view.draw();
      }
    };
  }

  private add(): void {
    const field = byId<HTMLInputElement>("new-name");
    this.page.deeds.add(field.value);
    field.value = "";
    field.blur();
  }

  /** What depends on the structures and on where one is. */
  show(): void {
    const { page } = this;
    const outlined = (page.masks.get(page.active ?? "")?.size ?? 0) > 0;
    const free = outlined && !page.structure?.locked;
    const can: Record<string, boolean> = {
      undo: page.state.can_undo,
      redo: page.state.can_redo,
      follow: free,
      accept:
        free &&
        Boolean(page.masks.get(page.active!)!.has(page.frame)) &&
        !page.structure!.prompted.includes(page.frame),
      doubt: page.strip.doubtful.length > 0,
      interpolate: free && page.structure!.prompted.length > 1,
      ruler: outlined,
      outlines: page.state.objects.length > 0,
    };
    for (const [id, may] of Object.entries(can)) byId<HTMLButtonElement>(id).disabled = !may;
    for (const button of byId("shapes").children) (button as HTMLButtonElement).disabled = !free;
    for (const button of byId("tools").querySelectorAll("[data-tool]"))
      button.classList.toggle("active", (button as HTMLElement).dataset.tool === page.tool);
    byId("sign").replaceChildren(page.negative ? "− exclude" : "+ include", made("kbd", { textContent: "T" }));
    byId("sign").classList.toggle("negative", page.negative);
    byId("brush-size").hidden = !paints(page.tool);
    byId<HTMLInputElement>("brush-radius").value = String(page.brush);
    byId("ruler").classList.toggle("active", page.looking.rules);
    byId("outlines").classList.toggle("active", !page.panes.main.view.outlines);
    byId("layout").classList.toggle("active", byId("panes").classList.contains("several"));
    byId("play").textContent = page.looking.plays ? "Pause" : "Play";
    byId<HTMLInputElement>("slider").value = String(page.frame);
    byId("frame").textContent = `${page.word} ${page.frame} / ${page.scan.frames - 1}`;
    byId("structures").replaceChildren(...page.state.objects.map((one, n) => this.row(one, n)));
    this.fillCandidates();
    this.fillMeasures();
  }

  private row(one: Structure, n: number): HTMLLIElement {
    const { page } = this;
    const swatch = made("span", { className: "swatch" });
    swatch.style.background = `rgb(${one.color.join(" ")})`;
    const hidden = page.hidden.has(one.name);
    const eye = iconButton(hidden ? "eye-off" : "eye", hidden ? "Show it" : "Hide it", () => {
      if (!page.hidden.delete(one.name)) page.hidden.add(one.name);
      page.show();
    });
    const lock = iconButton(
      one.locked ? "locked" : "unlocked",
      one.locked ? "Protected: click to let it change again" : "Protect it against changes",
      () => page.deeds.act({ event: "lock_object", object: one.name, locked: !one.locked }),
    );
    const remove = iconButton("remove", "Remove this structure (undo brings it back)", () =>
      page.deeds.act({ event: "remove_object", object: one.name }),
    );
    remove.disabled = one.locked;
    const name = made(
      "button",
      {
        className: "name",
        title: `${one.name}: structure ${n + 1}${n < 9 ? ` (${n + 1})` : ""}`,
        onclick: () => page.choose(one.name),
      },
      swatch,
      one.name,
    );
    return made(
      "li",
      { className: one.name === page.active ? "active" : "" },
      name,
      made("span", { className: "size", textContent: this.size(one) }),
      eye,
      lock,
      remove,
    );
  }

  private size(one: Structure): string {
    const frames = this.page.masks.get(one.name)?.size ?? 0;
    if (!frames) return "empty";
    const { kind, placement, frames: all } = this.page.scan;
    if (placement === "pixels" || kind === "video")
      return all > 1 ? `${frames} of ${all}` : `${Math.round(one.volume_mm3)} px`;
    const [amount, unit] = kind === "volume" ? [one.volume_mm3 / 1000, "ml"] : [one.volume_mm3 / 100, "cm²"];
    return `${amount < 10 ? amount.toFixed(2) : amount.toFixed(1)} ${unit}`;
  }

  private fillCandidates(): void {
    const offer = this.page.candidates;
    byId("candidates").hidden = !offer;
    if (!offer) return;
    byId("candidates").replaceChildren(
      made("span", { className: "quiet" }, "outline ", made("kbd", { textContent: "C" })),
      ...offer.scores.map((score, n) =>
        made("button", {
          className: n === offer.chosen ? "active" : "",
          textContent: `${Math.round(score * 100)} %`,
          title: `Outline ${n + 1} of ${offer.scores.length}`,
          onclick: () => this.page.deeds.candidate(n),
        }),
      ),
    );
  }

  /** Long and short axis: where they are longest, and here. */
  private fillMeasures(): void {
    const { measures, frame, word, active } = this.page;
    const shown = measures && measures.object === active ? measures : null;
    byId("measures").hidden = !shown || shown.widest === null;
    if (!shown || shown.widest === null) return;
    const words = (n: number) =>
      `${shown.frames[n]!.long.toFixed(1)} × ${shown.frames[n]!.short.toFixed(1)} ${shown.unit}`;
    const { widest } = shown;
    const jump = made("button", {
      className: "link",
      textContent: `${words(widest)} · ${word} ${widest}`,
      title: `Go to ${word} ${widest}`,
      onclick: () => this.page.looking.go(widest),
    });
    byId("measures").replaceChildren(
      made("dt", { textContent: this.page.scan.frames > 1 ? "longest" : "axes" }),
      made("dd", {}, this.page.scan.frames > 1 ? jump : words(widest)),
      ...(this.page.scan.frames > 1
        ? [made("dt", { textContent: "here" }), made("dd", { textContent: shown.frames[frame] ? words(frame) : "–" })]
        : []),
    );
  }
}
