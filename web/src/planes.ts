/** Three planes through a volume: what each is called, where its pixels lie in the file, outlines cut along it. */

import type { Bitmap, Runs } from "./runs";
import { bitmapOf } from "./runs";
import type { Pair, Scan, Triple } from "./types";

/** A voxel (i, j, k) of the file; of a picture or video (x, y, frame). */
export type Voxel = [number, number, number];

const NAMES: Record<string, string> = {
  S: "Axial",
  I: "Axial",
  A: "Coronal",
  P: "Coronal",
  L: "Sagittal",
  R: "Sagittal",
};
const COLORS: Record<string, Triple> = { Axial: [240, 98, 98], Coronal: [94, 200, 120], Sagittal: [240, 200, 80] };

/** The axis that a frame's number counts along. */
export const axisOf = (scan: Scan): number => (scan.kind === "volume" ? scan.slice_axis : 2);
const acrossOf = (scan: Scan): Pair => (scan.kind === "volume" ? scan.frame_axes : [0, 1]);

export function planeName(scan: Scan): string {
  if (scan.kind !== "volume") return "";
  return NAMES[scan.axes[scan.slice_axis] ?? ""] ?? `Along ${"ijk"[scan.slice_axis]}`;
}

export const planeColor = (scan: Scan): Triple => COLORS[planeName(scan)] ?? [150, 170, 200];

/** The voxel under a pixel of a frame. */
export function voxelAt(plane: Scan, frame: number, [x, y]: Pair): Voxel {
  const voxel: Voxel = [0, 0, 0];
  voxel[axisOf(plane)] = frame;
  acrossOf(plane).forEach((axis, n) => (voxel[axis] = Math.round(n ? y : x)));
  return voxel;
}

/** The pixel of a plane's frame that shows a voxel. */
export function pixelOf(plane: Scan, voxel: Voxel): Pair {
  const [across, down] = acrossOf(plane);
  return [voxel[across]!, voxel[down]!];
}

/** RAS millimeters of a voxel, by the file's affine. */
export const worldOf = (scan: Scan, voxel: Voxel): Triple =>
  [0, 1, 2].map((row) => {
    const line = scan.affine[row]!;
    return line[0]! * voxel[0] + line[1]! * voxel[1] + line[2]! * voxel[2] + line[3]!;
  }) as Triple;

/** An outline as a plane shows it: ``masks`` are of frames of ``own``, and may be cut across. */
export function cut(masks: Map<number, Runs>, own: Scan, plane: Scan, index: number): Bitmap | null {
  if (axisOf(plane) === axisOf(own)) {
    const runs = masks.get(index);
    return runs ? bitmapOf(runs) : null;
  }
  const { width, height } = plane;
  const inside = new Uint8Array(width * height);
  const [across, down] = acrossOf(own);
  const column = axisOf(plane) === across;
  const left = acrossOf(plane)[0] === axisOf(own); // whether frames of the outline lie side by side
  let any = false;
  for (const [frame, runs] of masks) {
    const mark = (place: number) => {
      inside[left ? place * width + frame : frame * width + place] = 1;
      any = true;
    };
    if (column) inColumn(runs, index, mark);
    else if (axisOf(plane) === down) inRow(runs, index, mark);
  }
  return any ? { width, height, inside } : null;
}

/** Calls ``mark`` for every row that column ``x`` is inside at. */
function inColumn({ height, counts }: Runs, x: number, mark: (y: number) => void): void {
  const [first, stop] = [x * height, (x + 1) * height];
  let place = 0;
  for (let n = 0; n < counts.length && place < stop; place += counts[n++]!) {
    if (n % 2 === 0) continue;
    const end = Math.min(stop, place + counts[n]!);
    for (let at = Math.max(first, place); at < end; at++) mark(at - first);
  }
}

/** Calls ``mark`` for every column that row ``y`` is inside at. */
function inRow({ height, counts }: Runs, y: number, mark: (x: number) => void): void {
  let place = 0;
  for (let n = 0; n < counts.length; place += counts[n++]!) {
    if (n % 2 === 0) continue;
    const end = place + counts[n]!;
    for (let x = Math.ceil((place - y) / height); x * height + y < end; x++) mark(x);
  }
}
