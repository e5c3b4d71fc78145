/** How a frame lies on the screen: radiological convention, right proportions, zoom and pan. */

import type { Scan } from "./types";

/** a c e / b d f, as canvas transforms have it: from pixels of the frame (corner of the first at 0, 0) to the screen. */
export type Matrix = [number, number, number, number, number, number];

export interface Orientation {
  swapped: boolean;
  flipAcross: boolean;
  flipDown: boolean;
}

const OPPOSITE: Record<string, string> = { L: "R", R: "L", A: "P", P: "A", S: "I", I: "S" };
const ACROSS = "RLAP";

/** Patient's left on the right, front and head at the top; pictures and videos lie as they are. */
export function orientation(scan: Scan): Orientation {
  const [x, y] = codes(scan);
  if (!x || !y) return { swapped: false, flipAcross: false, flipDown: false };
  const swapped = ("SI".includes(x) && ACROSS.includes(y)) || ("AP".includes(x) && "LR".includes(y));
  const [across, down] = swapped ? [y, x] : [x, y];
  return { swapped, flipAcross: "RA".includes(across), flipDown: "AS".includes(down) };
}

function codes(scan: Scan): [string, string] | ["", ""] {
  const [x, y] = scan.frame_axes.map((axis) => scan.axes[axis] ?? "") as [string, string];
  return x in OPPOSITE && y in OPPOSITE ? [x, y] : ["", ""];
}

/** Letters at the left, right, upper and lower edge. */
export function letters(scan: Scan): { left: string; right: string; top: string; bottom: string } {
  const [x, y] = codes(scan);
  if (!x || !y) return { left: "", right: "", top: "", bottom: "" };
  const turned = orientation(scan);
  let [right, bottom] = turned.swapped ? [y, x] : [x, y];
  if (turned.flipAcross) right = OPPOSITE[right]!;
  if (turned.flipDown) bottom = OPPOSITE[bottom]!;
  return { left: OPPOSITE[right]!, right, top: OPPOSITE[bottom]!, bottom };
}

/** The frame as large as it fits, in the middle; then zoom and pan. */
export function matrix(scan: Scan, width: number, height: number, zoom: number, pan: [number, number]): Matrix {
  const turned = orientation(scan);
  const [sx, sy] = scan.frame_spacing;
  const [across, down] = turned.swapped ? [scan.height * sy, scan.width * sx] : [scan.width * sx, scan.height * sy];
  const fit = Math.min(width / across, height / down) * zoom;
  const u = turned.flipAcross ? -fit : fit;
  const v = turned.flipDown ? -fit : fit;
  const e = (width - across * u) / 2 + pan[0];
  const f = (height - down * v) / 2 + pan[1];
  return turned.swapped ? [0, v * sx, u * sy, 0, e, f] : [u * sx, 0, 0, v * sy, e, f];
}

export function apply(m: Matrix, x: number, y: number): [number, number] {
  return [m[0] * x + m[2] * y + m[4], m[1] * x + m[3] * y + m[5]];
}

export function invert(m: Matrix, u: number, v: number): [number, number] {
  const determinant = m[0] * m[3] - m[1] * m[2];
  const [du, dv] = [u - m[4], v - m[5]];
  return [(m[3] * du - m[2] * dv) / determinant, (m[0] * dv - m[1] * du) / determinant];
}
