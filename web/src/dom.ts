/** Small help with the page's elements. */

export function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page lacks #${id}`);
  return found as T;
}

export function made<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const SHAPES = {
  eye: "M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10ZM10 12.4a2.4 2.4 0 1 0 0-4.8 2.4 2.4 0 0 0 0 4.8Z",
  "eye-off": "M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10ZM3 17 17 3",
  locked: "M5 9h10v8H5ZM7 9V6.5a3 3 0 0 1 6 0V9",
  unlocked: "M5 9h10v8H5ZM7 9V5.5a3 3 0 0 1 5.8-1",
  remove: "M5 5l10 10M15 5 5 15",
};

/** A drawing of one line, as large as the text beside it. */
export function icon(name: keyof typeof SHAPES): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(space, "path"));
  svg.firstElementChild!.setAttribute("d", SHAPES[name]);
  return svg;
}

/** A small button with a drawing; a click on it is no click on what lies below. */
export function iconButton(name: keyof typeof SHAPES, title: string, act: () => void): HTMLButtonElement {
  const button = made(
    "button",
    { className: "icon", title, onclick: (event: MouseEvent) => (event.stopPropagation(), act()) },
    icon(name),
  );
  button.setAttribute("aria-label", title);
  return button;
}

/** Offers a file to keep. */
export function offered(content: Blob, name: string): void {
  const link = made("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
