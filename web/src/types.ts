/** What the server sends, as its routes and messages define it. */

export type Triple = [number, number, number];

export interface Scan {
  id: string;
  kind: "image" | "volume" | "video";
  frames: number;
  width: number;
  height: number;
  axes: string[];
  placement: string;
  frame_axes: [number, number];
  frame_spacing: [number, number];
  slice_axis: number;
  modality: string;
  window: [number, number];
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
}

export type Prompt =
  | { type: "point"; at: [number, number]; frame: number; positive: boolean }
  | { type: "box"; corners: [number, number, number, number]; frame: number }
  | { type: "scribble"; points: [number, number][]; frame: number; positive: boolean }
  | { type: "lasso"; points: [number, number][]; frame: number }
  | { type: "mask"; height: number; width: number; counts: number[]; frame: number };

export type Action =
  | { event: "prompt"; object: string; prompt: Prompt }
  | { event: "add_object"; object: string }
  | { event: "remove_object"; object: string }
  | { event: "lock_object"; object: string; locked: boolean }
  | { event: "choose"; object: string; frame: number; candidate: number };
