/** What was done as a command line and as Python: it can be done again without the page. */

import type { Prompt } from "./types";

interface Event {
  event: string;
  object?: string;
  prompt?: Prompt;
  prompts?: Prompt[];
}

export interface Log {
  scan: string;
  done: number;
  events: Event[];
}

const numbers = (values: number[]): string => values.join(",");
const quoted = (text: string): string => (/^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The prompts of a log as options of `segment`; null where the log holds what options cannot say. */
export function asCommand(log: Log, scan: string): string | null {
  const words = ["delineate", "segment", quoted(scan)];
  let followed = false;
  for (const event of log.events.slice(0, log.done)) {
    if (event.event === "propagate") followed = true;
    else if (event.event === "prompt" || event.event === "prompts") {
      for (const prompt of event.prompts ?? [event.prompt!]) {
        const option = optionOf(prompt);
        if (!option) return null;
        words.push("--label", quoted(event.object!), "--frame", String(prompt.frame), ...option);
      }
    } else return null;
  }
  if (!followed) words.push("--frame-only");
  return words.join(" ");
}

function optionOf(prompt: Prompt): string[] | null {
  switch (prompt.type) {
    case "point":
      return [prompt.positive ? "--point" : "--neg-point", numbers(prompt.at)];
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
