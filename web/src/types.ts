/** What the server sends, as its routes and messages define it. */

export type Triple = [number, number, number];
export type Pair = [number, number];

export interface Scan {
  id: string;
  kind: "image" | "volume" | "video";
  shape: number[];
  affine: number[][];
  frames: number;
  width: number;
  height: number;
  axes: string[];
  placement: "world" | "scale" | "pixels";
  frame_axes: Pair;
  frame_spacing: Pair;
  slice_axis: number;
  modality: string;
  window: Pair;
  times: number[] | null;
  notices: string[];
}

export interface Structure {
  name: string;
  label: number;
  color: Triple;
  locked: boolean;
  prompted: number[];
  scores: Record<string, number>;
  volume_mm3: number;
}

export interface SessionState {
  id: string;
  scan: string;
  model: string;
  slice_axis: number;
  revision: number;
  can_undo: boolean;
  can_redo: boolean;
  objects: Structure[];
  prompts: { object: string; prompt: Prompt }[];
  notices: string[];
}

/** A session of an earlier day. */
export interface KeptSession {
  id: string;
  scan: string;
  name: string;
  structures: string[];
  used: number;
}

/** Long and short axis on one frame; ends in pixels of the frame. */
export interface Axes {
  long: number;
  short: number;
  ends: [Pair, Pair];
  across: [Pair, Pair];
}

export interface Measures {
  object: string;
  unit: "mm" | "px";
  widest: number | null;
  frames: Record<string, Axes>;
}

export interface Problem {
  code: string;
  title: string;
  hint: string;
}

export interface Progress {
  job: string;
  state: "running" | "done" | "stopped" | "failed";
  done: number;
  total: number;
  error: Problem | null;
}

export interface Answer extends Partial<SessionState> {
  seq: number;
  object?: string;
  frame?: number;
  score?: number;
  candidates?: number[];
  empty?: boolean;
  preview?: boolean;
  job?: string;
  moved?: boolean;
}

/** An outlined picture of another scan, the whole of it. */
export interface Example {
  type: "example";
  picture: string;
  height: number;
  width: number;
  counts: number[];
}

export type Prompt =
  | (Example & { frame: number })
  | { type: "point"; at: Pair; frame: number; positive: boolean }
  | { type: "box"; corners: [number, number, number, number]; frame: number }
  | { type: "scribble"; points: Pair[]; frame: number; positive: boolean }
  | { type: "lasso"; points: Pair[]; frame: number }
  | { type: "mask"; height: number; width: number; counts: number[]; frame: number };

export interface CleanSteps {
  largest?: boolean;
  holes?: boolean;
  holes_in_slices?: boolean;
  smooth?: number;
}

export type Action =
  | { event: "prompt"; object: string; prompt: Prompt }
  | { event: "add_object"; object: string; color?: Triple }
  | { event: "remove_object"; object: string }
  | { event: "lock_object"; object: string; locked: boolean }
  | { event: "choose"; object: string; frame: number; candidate: number }
  | { event: "clean"; object: string; steps: CleanSteps }
  | { event: "interpolate"; object: string };
