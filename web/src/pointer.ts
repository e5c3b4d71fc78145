/** The pointer on a picture: strokes, crosshair, windows, zoom and moving. */

import type { Page } from "./page";
import type { Pane } from "./panes";
import type { Place } from "./tools";
import type { Pair } from "./types";

const DRAG = 4; // px of the screen: less is a click

type Doing =
  | { what: "stroke" }
  | { what: "cross" }
  | { what: "pan"; from: Place }
  | { what: "window"; from: Place; window: Pair; moved: boolean };

/** Lets a person point on a pane; strokes are made on the one that is outlined. */
export function listen(page: Page, pane: Pane): () => void {
  const { canvas } = pane.view;
  const { view } = pane;
  const main = pane === page.panes.main;
  const stop = new AbortController();
  const on = <K extends keyof HTMLElementEventMap>(kind: K, act: (event: HTMLElementEventMap[K]) => void) =>
    canvas.addEventListener(kind, act as EventListener, { signal: stop.signal, passive: false });
  let doing: Doing | null = null;
  const at = (event: PointerEvent | WheelEvent): Place => {
    const edge = canvas.getBoundingClientRect();
    return [event.clientX - edge.left, event.clientY - edge.top];
  };

  on("contextmenu", (event) => event.preventDefault());
  on("pointerdown", (event) => {
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    const where = at(event);
    const right = event.button === 2;
    const draws = page.tool === "scribble" || page.tool === "brush" || page.tool === "eraser";
    if (event.button === 1 || (page.spaceHeld && event.button === 0)) {
      page.spaceHeld &&= "used";
      doing = { what: "pan", from: where };
    } else if (right && !(main && draws)) {
      doing = { what: "window", from: where, window: page.windows.shown, moved: false };
    } else if (!main || page.tool === "look") {
      doing = { what: "cross" };
      page.looking.look(pane, view.pixel(...where));
    } else {
      const place = view.pixel(...where);
      if (!view.contains(place) && page.tool !== "box" && page.tool !== "lasso") return;
      const positive = !(right || event.ctrlKey || event.metaKey || event.altKey || page.negative);
      view.stroke = { tool: page.tool, positive, places: [place] };
      doing = { what: "stroke" };
      view.draw();
    }
  });
  on("pointermove", (event) => {
    const where = at(event);
    const place = view.pixel(...where);
    page.looking.over(pane, place);
    if (!doing) {
      if (main) page.looking.hover(place);
    } else if (doing.what === "pan") {
      view.pan = [view.pan[0] + where[0] - doing.from[0], view.pan[1] + where[1] - doing.from[1]];
      doing.from = where;
    } else if (doing.what === "window") {
      const [across, down] = [where[0] - doing.from[0], where[1] - doing.from[1]];
      doing.moved ||= Math.hypot(across, down) >= DRAG;
      if (doing.moved) page.windows.drag(doing.window, across, down);
    } else if (doing.what === "cross") {
      page.looking.look(pane, place);
    } else {
      view.stroke?.places.push(place);
    }
    view.draw();
  });
  on("pointerup", (event) => {
    const done = doing;
    doing = null;
    const stroke = view.stroke;
    view.stroke = null;
    if (done?.what === "stroke" && stroke) page.deeds.finish(stroke);
    if (done?.what === "window" && !done.moved && main && page.tool === "point") {
      const place = view.pixel(...at(event));
      if (view.contains(place)) page.deeds.finish({ tool: "point", positive: false, places: [place] });
    }
  });
  on("pointercancel", () => {
    doing = null;
    view.stroke = null;
    view.draw();
  });
  on("pointerleave", () => page.looking.left(pane));
  on("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) view.zoomAt(...at(event), event.deltaY < 0 ? 1.2 : 1 / 1.2);
    else page.looking.turn(pane, Math.sign(event.deltaY));
  });
  return () => stop.abort();
}
