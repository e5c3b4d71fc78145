/** Outlines as run lengths: column by column, starting with background, as COCO has them. */

export interface Runs {
  height: number;
  width: number;
  counts: number[];
}

export interface ReceivedMask {
  which: number;
  frame: number;
  runs: Runs;
}

/** Reads a binary message: kind, then whole numbers in groups of seven bits, lowest first. */
export function readMask(data: ArrayBuffer): ReceivedMask {
  const bytes = new Uint8Array(data);
  const numbers: number[] = [];
  let number = 0;
  let scale = 1;
  for (let place = 1; place < bytes.length; place++) {
    const byte = bytes[place]!;
    number += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) {
      numbers.push(number);
      number = 0;
      scale = 1;
    }
  }
  const [which, frame, height, width, ...counts] = numbers as [number, number, number, number, ...number[]];
  return { which, frame, runs: { height, width, counts } };
}

/** One byte a pixel, row by row: 1 inside. */
export function decode(runs: Runs): Uint8Array {
  const inside = new Uint8Array(runs.height * runs.width);
  let place = 0;
  runs.counts.forEach((count, n) => {
    if (n % 2) {
      for (let at = place; at < place + count; at++) {
        inside[(at % runs.height) * runs.width + Math.floor(at / runs.height)] = 1;
      }
    }
    place += count;
  });
  return inside;
}

export function encode(inside: Uint8Array, height: number, width: number): Runs {
  const counts: number[] = [];
  let value = 0;
  let run = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const here = inside[y * width + x]!;
      if (here === value) {
        run++;
      } else {
        counts.push(run);
        value = here;
        run = 1;
      }
    }
  }
  counts.push(run);
  return { height, width, counts };
}

export function area(runs: Runs | undefined): number {
  return runs ? runs.counts.reduce((sum, count, n) => (n % 2 ? sum + count : sum), 0) : 0;
}

/** Where a structure is on a frame: one byte a pixel, row by row. */
export interface Bitmap {
  height: number;
  width: number;
  inside: Uint8Array;
}

export const bitmapOf = (runs: Runs): Bitmap => ({ height: runs.height, width: runs.width, inside: decode(runs) });

/** The inside as a picture of one color, for a canvas. */
export function filled(bitmap: Bitmap, color: [number, number, number]): OffscreenCanvas {
  const { height, width, inside } = bitmap;
  const image = new ImageData(width, height);
  inside.forEach((value, at) => value && image.data.set([...color, 255], at * 4));
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return canvas;
}

/** The border, along the edges of pixels; corners of the first pixel are at 0, 0 and 1, 1. */
export function border({ height, width, inside }: Bitmap): Path2D {
  const path = new Path2D();
  const at = (x: number, y: number) => x >= 0 && y >= 0 && x < width && y < height && inside[y * width + x] === 1;
  const edges = (lines: number, along: number, differs: (line: number, place: number) => boolean, down: boolean) => {
    for (let line = 0; line <= lines; line++) {
      for (let place = 0; place < along; place++) {
        if (!differs(line, place)) continue;
        const start = place;
        while (place < along && differs(line, place)) place++;
        path.moveTo(...((down ? [line, start] : [start, line]) as [number, number]));
        path.lineTo(...((down ? [line, place] : [place, line]) as [number, number]));
      }
    }
  };
  edges(height, width, (y, x) => at(x, y) !== at(x, y - 1), false);
  edges(width, height, (x, y) => at(x, y) !== at(x - 1, y), true);
  return path;
}
