/** Files to keep, and what was done as a command or as Python. */

import { exported } from "./api";
import { asCommand, asPython, withPrompts, type Log } from "./commands";
import { byId, made, offered } from "./dom";
import type { Page } from "./page";

/** Format, what it is called, whether it suits a kind of scan. */
const FORMATS: [string, string, string[]][] = [
  ["nii.gz", "NIfTI label map", ["volume"]],
  ["seg.nrrd", "3D Slicer", ["volume"]],
  ["mha", "MetaImage", ["volume"]],
  ["nrrd", "NRRD", ["volume"]],
  ["png", "Label picture", ["image"]],
  ["frames", "Label pictures, zip", ["volume", "video"]],
  ["json", "COCO", ["image", "volume", "video"]],
  ["tif", "TIFF", ["image", "volume", "video"]],
  ["log", "Prompts, to go on later", ["image", "volume", "video"]],
  ["manifest", "Manifest", ["image", "volume", "video"]],
];

export class Saving {
  constructor(private readonly page: Page) {}

  open(): void {
    const suitable = FORMATS.filter(([, , kinds]) => kinds.includes(this.page.scan.kind));
    byId("formats").replaceChildren(
      ...suitable.map(([format, about]) =>
        made(
          "button",
          { onclick: () => void this.save(format) },
          about,
          made("span", { className: "quiet", textContent: format }),
        ),
      ),
    );
    byId("copy-command").onclick = () => void this.copy(false);
    byId("copy-python").onclick = () => void this.copy(true);
  }

  /** The scan's name without its ending, for files beside it. */
  private get stem(): string {
    return (
      (this.page.name.split("/").at(-1) ?? "outlines")
        .replace(/(\.nii|\.seg)?\.[A-Za-z0-9]{1,5}$/, "")
        .replace(/[^\w.-]+/g, "-") || "outlines"
    );
  }

  private async save(format: string): Promise<void> {
    const { page } = this;
    byId("saving").removeAttribute("open");
    if (!page.state.objects.length && format !== "log" && format !== "manifest") {
      page.tell("There is nothing to save yet: click on a structure first.", true);
      return;
    }
    page.tell("Writing the file …");
    page.progress("unknown");
    try {
      const answer = await exported(page.state.id, format);
      const given = /filename="?([^";]+)"?/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "outlines";
      const name = given.replace(/^(outlines|frames)/, `${this.stem}-outlines`);
      offered(await answer.blob(), name);
      page.tell(`Saved: ${name}, where your browser keeps downloads.`);
    } catch (error) {
      page.fail(error);
    }
    page.progress(null);
  }

  private async copy(python: boolean): Promise<void> {
    const { page } = this;
    byId("saving").removeAttribute("open");
    try {
      const log: Log = await (await exported(page.state.id, "log")).json();
      if (!log.done) {
        page.tell("Nothing was done yet: click on a structure first.", true);
        return;
      }
      let text = python
        ? asPython(log, page.name)
        : asCommand(log, page.name, page.state.model, page.scan.frames === 1);
      let with_ = "";
      if (!text) {
        const file = `${this.stem}.prompts.json`;
        offered(new Blob([JSON.stringify(log, null, 1)], { type: "application/json" }), file);
        text = withPrompts(file, page.name, page.state.model);
        with_ = ` Its prompts were saved as ${file}: run it in the folder that holds both files.`;
      }
      await navigator.clipboard.writeText(text);
      page.tell(
        `${python ? "Copied as Python." : `Copied: ${text.length > 90 ? `${text.slice(0, 90)}…` : text}`}${with_}`,
      );
    } catch (error) {
      page.fail(error);
    }
  }
}
