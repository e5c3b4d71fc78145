/** Requests to the server, and the socket of a session. */

import type { Action, Answer, Example, KeptSession, Measures, Problem, Progress, Scan, SessionState } from "./types";
import { readMask, type Runs } from "./runs";

const ROOT = "/api/v1";
const REFUSED = 1008; // a socket closed for good, as the server does for a session that is no more

export class ServerProblem extends Error {
  constructor(readonly problem: Problem) {
    super(problem.hint ? `${problem.title} ${problem.hint}` : problem.title);
  }
}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const answer = await fetch(ROOT + path, init).catch(() => {
    throw new ServerProblem({ code: "E-PAGE-OFFLINE", title: "The server does not answer.", hint: "Start it again." });
  });
  if (!answer.ok) {
    const known = answer.headers.get("content-type")?.includes("problem+json");
    throw new ServerProblem(
      known ? await answer.json() : { code: "E-PAGE-HTTP", title: `The server says ${answer.status}.`, hint: "" },
    );
  }
  return answer;
}

async function post<T>(path: string, body: unknown): Promise<T> {
  const headers = { "content-type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export async function login(token: string): Promise<void> {
  const headers = { "content-type": "application/json" };
  await ask("/login", { method: "POST", headers, body: JSON.stringify({ token }) });
}

export const openPath = (path: string): Promise<Scan> => post("/scans/open", { path });
export const newSession = (scan: string, axis: number | null = null): Promise<SessionState> =>
  post("/sessions", { scan, slice_axis: axis });
export const sessionState = async (id: string): Promise<SessionState> => (await ask(`/sessions/${id}`)).json();
export const aboutScan = async (id: string, axis: number | null = null): Promise<Scan> =>
  (await ask(`/scans/${id}${axis === null ? "" : `?slice_axis=${axis}`}`)).json();
export const keptSessions = async (scan = ""): Promise<KeptSession[]> =>
  (await (await ask(`/sessions${scan ? `?scan=${scan}` : ""}`)).json()).sessions;
export const measured = async (id: string, object: string): Promise<Measures> =>
  (await ask(`/sessions/${id}/measures?object=${encodeURIComponent(object)}`)).json();
/** A structure of a session, as a prompt for frames of another one. */
export const exampleOf = async (session: string, object: string): Promise<Example> =>
  (await post<{ prompt: Example }>("/examples/session", { session, object })).prompt;
export const exported = (id: string, format: string): Promise<Response> =>
  ask(`/sessions/${id}/export?format=${encodeURIComponent(format)}`);

/** Sends one file, or all files of a folder, and tells how much has gone. */
export function upload(files: File[], told: (share: number) => void): Promise<Scan> {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    const one = files.length === 1 ? files[0]! : null;
    request.open("POST", `${ROOT}/scans${one ? `?name=${encodeURIComponent(one.name.slice(-300))}` : ""}`);
    request.upload.onprogress = (event) => told(event.lengthComputable ? event.loaded / event.total : 0);
    request.onerror = () =>
      failed(
        new ServerProblem({ code: "E-PAGE-OFFLINE", title: "The server does not answer.", hint: "Start it again." }),
      );
    request.onload = () => {
      const content = JSON.parse(request.responseText || "{}");
      if (request.status === 201) done(content);
      else failed(new ServerProblem(content));
    };
    if (one) {
      request.setRequestHeader("content-type", "application/octet-stream");
      request.send(one);
    } else {
      const form = new FormData();
      for (const file of files) form.append("files", file, file.name);
      request.send(form);
    }
  });
}

/** A frame as a picture: along which axis, which one, through which window. */
export async function frameImage(scan: Scan, frame: number, window: [number, number] | null): Promise<ImageBitmap> {
  const fields = new URLSearchParams();
  if (scan.kind === "volume") fields.set("slice_axis", String(scan.slice_axis));
  if (window) fields.set("window", window.join(","));
  return createImageBitmap(await (await ask(`/scans/${scan.id}/frames/${frame}.png?${fields}`)).blob());
}

export interface Hearer {
  /** What changed; or, after a new connection, all there is. */
  changed(state: SessionState, masks: [string, number, Runs][], all: boolean): void;
  answered(answer: Answer, masks: [string, number, Runs][]): void;
  refused(problem: Problem, seq: number): void;
  progressed(progress: Progress): void;
  connected(there: boolean): void;
  /** The server will not have this session again. */
  gone(code: string): void;
}

/** The socket of one session; it comes back by itself. */
export class Live {
  private socket: WebSocket | null = null;
  private seq = 0;
  private closed = false;
  private message: (Record<string, unknown> & { masks: number; names: string[] }) | null = null;
  private masks: [string, number, Runs][] = [];

  constructor(
    private readonly session: string,
    private readonly hearer: Hearer,
  ) {
    this.connect();
  }

  act(action: Action): number {
    return this.send({ do: "act", action });
  }

  preview(action: Action): number {
    return this.send({ do: "preview", action });
  }

  step(back: boolean): number {
    return this.send({ do: back ? "undo" : "redo" });
  }

  follow(objects: string[]): number {
    return this.send({ do: "follow", follow: { objects } });
  }

  cancel(job: string): number {
    return this.send({ do: "cancel", job });
  }

  look(frame: number): number {
    return this.send({ do: "look", frame });
  }

  close(): void {
    this.closed = true;
    this.socket?.close();
  }

  /** The number of the wish; 0 where the server cannot be reached. */
  private send(wish: Record<string, unknown>): number {
    if (this.socket?.readyState !== WebSocket.OPEN) return 0;
    this.socket.send(JSON.stringify({ seq: ++this.seq, ...wish }));
    return this.seq;
  }

  private connect(): void {
    const socket = new WebSocket(
      `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${ROOT}/sessions/${this.session}/live`,
      "delineate.v1",
    );
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.hearer.connected(true);
    socket.onmessage = (event) => this.hear(event.data);
    socket.onclose = (event) => {
      this.message = null;
      if (this.closed) return;
      if (event.code === REFUSED) {
        this.hearer.gone(event.reason);
        return;
      }
      this.hearer.connected(false);
      setTimeout(() => this.connect(), 1000);
    };
    this.socket = socket;
  }

  private hear(data: string | ArrayBuffer): void {
    if (typeof data === "string") {
      this.message = JSON.parse(data);
      this.masks = [];
    } else if (this.message) {
      const mask = readMask(data);
      this.masks.push([this.message.names[mask.which] ?? "", mask.frame, mask.runs]);
    }
    if (!this.message || this.masks.length < this.message.masks) return;
    const message = this.message;
    this.message = null;
    if (message.kind === "state" || message.kind === "changed") {
      this.hearer.changed(message as unknown as SessionState, this.masks, message.kind === "state");
    } else if (message.kind === "answer") {
      this.hearer.answered(message as unknown as Answer, this.masks);
    } else if (message.kind === "error") {
      this.hearer.refused(message as unknown as Problem, Number(message.seq));
    } else if (message.kind === "progress") {
      this.hearer.progressed(message as unknown as Progress);
    }
  }
}
