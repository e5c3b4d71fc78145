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

/** A mask as a picture: the inside translucent, the border opaque. */
export function painted(runs: Runs, color: [number, number, number], fill: number): ImageData {
  const { height, width } = runs;
  const inside = decode(runs);
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (!inside[at]) continue;
      const border =
        x === 0 || y === 0 || x === width - 1 || y === height - 1 ||
        !inside[at - 1] || !inside[at + 1] || !inside[at - width] || !inside[at + width];
      image.data.set([...color, border ? 255 : fill], at * 4);
    }
  }
  return image;
}
