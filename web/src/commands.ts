/** What was done as a command line and as Python: it can be done again without the page. */

import type { Prompt } from "./types";

interface Event {
  event: string;
  object?: string;
  objects?: string[];
  label?: number;
  prompt?: Prompt;
  prompts?: Prompt[];
  new?: { object: string; label: number };
  first?: number | null;
  stop?: number | null;
  stopped_after?: number | null;
}

export interface Log {
  scan: string;
  done: number;
  slice_axis?: number | null;
  events: Event[];
}

const numbers = (values: number[]): string => values.join(",");
const quoted = (text: string): string => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
const ofModel = (model: string): string[] => (model === "quill" ? [] : ["-m", quoted(model)]);

/**
 * The prompts of a log as options of `segment`; null where options would not give the same, bit for bit: something was
 * painted, chosen, cleaned or removed, a structure was followed before another was pointed at, or following was ended.
 */
export function asCommand(log: Log, scan: string, model: string, single: boolean): string | null {
  const words = ["delineate", "segment", quoted(scan), ...ofModel(model)];
  if (log.slice_axis !== undefined && log.slice_axis !== null) words.push("--axis", "ijk"[log.slice_axis]!);
  const events = log.events.slice(0, log.done);
  const last = events.at(-1);
  const followed = last?.event === "propagate" ? events.pop()! : null;
  const asked = new Map<string, Prompt[]>();
  for (const event of events) {
    if (
      event.event === "add_object"
        ? event.label !== asked.size + 1
        : event.event !== "prompt" || (event.new && event.new.label !== asked.size + 1)
    )
      return null;
    if (!asked.has(event.object!)) asked.set(event.object!, []);
    if (event.prompt) {
      if ([...asked.keys()].at(-1) !== event.object) return null; // options stand structure by structure
      asked.get(event.object!)!.push(event.prompt);
    }
  }
  const whole =
    !followed ||
    (followed.stopped_after == null &&
      followed.first == null &&
      followed.stop == null &&
      (!followed.objects?.length || followed.objects.length === asked.size));
  if (!whole || !asked.size) return null;
  let oneByOne = false;
  for (const [name, prompts] of asked) {
    if (!prompts.length) return null;
    words.push("--label", quoted(name));
    let frame: number | null = null;
    for (const prompt of prompts) {
      const option = optionOf(prompt);
      if (!option) return null;
      if (prompt.frame !== frame && !single) words.push("--frame", String((frame = prompt.frame)));
      words.push(...option);
    }
    const frames = prompts.map((prompt) => prompt.frame);
    oneByOne ||= new Set(frames).size < frames.length;
  }
  if (oneByOne) words.push("--prompts-one-by-one");
  if (!followed && !single) words.push("--frame-only");
  return words.join(" ");
}

function optionOf(prompt: Prompt): string[] | null {
  switch (prompt.type) {
    case "point":
      return [prompt.positive ? "--point" : "--neg", numbers(prompt.at)];
    case "box":
      return ["--box", numbers(prompt.corners)];
    case "scribble":
      return [prompt.positive ? "--scribble" : "--neg-scribble", `'${prompt.points.map(numbers).join(" ")}'`];
    case "lasso":
      return ["--lasso", `'${prompt.points.map(numbers).join(" ")}'`];
    default:
      return null;
  }
}

/** The command that does all of a log, saved as a file. */
export const withPrompts = (file: string, scan: string, model: string): string =>
  ["delineate", "segment", quoted(scan), ...ofModel(model), "--prompts", quoted(file)].join(" ");

/** The session of a log in Python. */
export function asPython(log: Log, scan: string): string {
  return [
    "from delineate import PromptLog, Session, open_scan, save",
    "",
    `log = PromptLog.parse(${JSON.stringify(JSON.stringify(log))})`,
    `session = Session.replay(open_scan(${JSON.stringify(scan)}), log)`,
    'save(session.segmentation, "outlines.nii.gz", session.scan)',
  ].join("\n");
}
