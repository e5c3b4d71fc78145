/** What a pointer draws: clicks, boxes, lines and strokes of a brush, as prompts in pixels of the frame. */

import type { Prompt } from "./types";
import { decode, encode, type Runs } from "./runs";

export type Tool = "point" | "box" | "scribble" | "lasso" | "brush" | "eraser" | "look";
export type Place = [number, number];
export const paints = (tool: Tool): boolean => tool === "brush" || tool === "eraser";

/** Tool, name, key, what it does. */
export const TOOLS: [Tool, string, string, string][] = [
  ["point", "Point", "P", "Click on the structure; right click on what does not belong to it"],
  ["box", "Box", "B", "Drag a box around the structure"],
  [
    "scribble",
    "Scribble",
    "S",
    "Draw a line over the structure; with the right button over what does not belong to it",
  ],
  ["lasso", "Lasso", "L", "Draw loosely around the structure"],
  ["brush", "Brush", "E", "Paint what belongs to it; the right button erases"],
  ["eraser", "Eraser", "X", "Take away what does not belong to it"],
  ["look", "Crosshair", "H", "Click to see a place in all planes; nothing is outlined"],
];

/** A stroke that is being drawn; places are pixels of the frame, centers at whole numbers. */
export interface Stroke {
  tool: Tool;
  positive: boolean;
  places: Place[];
}

const CLICK = 1.5; // px of the frame: less is no drag

/** The prompt of a finished stroke; null where it says nothing. */
export function promptOf(stroke: Stroke, frame: number, width: number, height: number): Prompt | null {
  const places = stroke.places.map(([x, y]) => [inside(x, width), inside(y, height)] as Place);
  const first = places[0];
  const last = places[places.length - 1];
  if (!first || !last) return null;
  const moved = places.some(([x, y]) => Math.hypot(x - first[0], y - first[1]) > CLICK);
  switch (stroke.tool) {
    case "point":
      return { type: "point", at: first, frame, positive: stroke.positive };
    case "box": {
      const [x0, x1] = ends(first[0], last[0], width);
      const [y0, y1] = ends(first[1], last[1], height);
      return moved && x1 > x0 && y1 > y0 ? { type: "box", corners: [x0, y0, x1, y1], frame } : null;
    }
    case "scribble":
      return moved
        ? { type: "scribble", points: thinned(places), frame, positive: stroke.positive }
        : { type: "point", at: first, frame, positive: stroke.positive };
    case "lasso":
      return moved && places.length > 2 ? { type: "lasso", points: thinned(places), frame } : null;
    default:
      return null;
  }
}

/** The outline after a stroke of brush or eraser; null where nothing of it is left. */
export function edited(stroke: Stroke, before: Runs | undefined, radius: number, size: [number, number]): Runs | null {
  const [width, height] = size;
  const mask = before ? decode(before) : new Uint8Array(width * height);
  const value = stroke.tool === "brush" && stroke.positive ? 1 : 0;
  let last = stroke.places[0];
  for (const place of stroke.places) {
    const steps = last ? Math.max(1, Math.ceil(Math.hypot(place[0] - last[0], place[1] - last[1]))) : 1;
    for (let n = 1; n <= steps; n++) {
      const at: Place = last
        ? [last[0] + ((place[0] - last[0]) * n) / steps, last[1] + ((place[1] - last[1]) * n) / steps]
        : place;
      disc(mask, at, radius, value, width, height);
    }
    last = place;
  }
  return mask.some((one) => one) ? encode(mask, height, width) : null;
}

function disc(mask: Uint8Array, [cx, cy]: Place, radius: number, value: number, width: number, height: number): void {
  const reach = Math.ceil(radius);
  for (let y = Math.max(0, Math.round(cy) - reach); y <= Math.min(height - 1, Math.round(cy) + reach); y++) {
    for (let x = Math.max(0, Math.round(cx) - reach); x <= Math.min(width - 1, Math.round(cx) + reach); x++) {
      if (Math.hypot(x - cx, y - cy) <= radius) mask[y * width + x] = value;
    }
  }
}

const inside = (value: number, size: number): number => Math.min(size - 1, Math.max(0, Math.round(value * 10) / 10));

/** The half-open range of pixels between two places. */
function ends(one: number, other: number, size: number): [number, number] {
  const low = Math.round(Math.min(one, other));
  return [Math.max(0, low), Math.min(size, Math.round(Math.max(one, other)) + 1)];
}

function thinned(places: Place[]): Place[] {
  const kept: Place[] = [];
  for (const place of places) {
    const last = kept[kept.length - 1];
    if (!last || Math.hypot(place[0] - last[0], place[1] - last[1]) >= 1) kept.push(place);
  }
  return kept;
}
