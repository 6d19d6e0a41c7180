import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resample } from './resample.js';
import type { Pixels } from './resample.js';
import { bicubicTaps, PRECISION_BITS } from './taps.js';
import type { Taps } from './taps.js';

/** Output pixel `x` of one channel as Pillow defines it, in exact arithmetic. */
function sum({ bounds, weights, size }: Taps, x: number, value: (source: number) => number): number {
  let total = 2 ** (PRECISION_BITS - 1);
  for (let i = 0; i < bounds[2 * x + 1]!; i++) total += weights[x * size + i]! * value(bounds[2 * x]! + i);
  return Math.min(255, Math.max(0, Math.floor(total / 2 ** PRECISION_BITS)));
}

function horizontalPass({ data, start, stride }: Pixels, rows: number, taps: Taps): Pixels {
  const width = 3 * taps.outputs;
  const result = new Uint8Array(rows * width);
  for (let y = 0; y < rows; y++)
    for (let x = 0; x < width; x++) {
      const at = start + y * stride + (x % 3);
      result[y * width + x] = sum(taps, Math.floor(x / 3), i => data[at + 3 * i]!);
    }
  return { data: result, start: 0, stride: width };
}

function verticalPass({ data, start, stride }: Pixels, columns: number, taps: Taps): Pixels {
  const width = 3 * columns;
  const result = new Uint8Array(taps.outputs * width);
  for (let y = 0; y < taps.outputs; y++)
    for (let x = 0; x < width; x++) result[y * width + x] = sum(taps, y, i => data[start + i * stride + x]!);
  return { data: result, start: 0, stride: width };
}

function reference(source: Pixels, horizontal: Taps, vertical: Taps, columnsFirst: boolean): Uint8Array {
  if (columnsFirst) {
    const between = verticalPass(source, horizontal.end - horizontal.first, vertical);
    return horizontalPass(between, vertical.outputs, horizontal).data;
  }
  const between = horizontalPass(source, vertical.end - vertical.first, horizontal);
  return verticalPass(between, horizontal.outputs, vertical).data;
}

type Content = 'noise' | 'black and white' | 'columns' | 'rows' | 'white';

/** [height, width, 3]; all but noise are of extreme values. */
function picture(content: Content, width: number, height: number, seed: number): Uint8Array {
  const data = new Uint8Array(3 * width * height).fill(255);
  let state = seed;
  if (content !== 'white')
    for (let at = 0; at < data.length; at++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      if (content === 'noise') data[at] = state >>> 24;
      else if (content === 'black and white') data[at] = 255 * (state >>> 31);
      else if (content === 'columns') data[at] = 255 * (Math.floor(at / 3) % 2);
      else data[at] = 255 * (Math.floor(at / (3 * width)) % 2);
    }
  return data;
}

/** Sides of an image, of the part of it that is resized, of the result and of the part that is computed. */
const axis = fc
  .tuple(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 40 }))
  .chain(([image, result]) =>
    fc.record({
      image: fc.constant(image),
      part: fc.tuple(fc.nat(image - 1), fc.integer({ min: 1, max: image })).map(within(image)),
      result: fc.constant(result),
      window: fc.tuple(fc.nat(result - 1), fc.integer({ min: 1, max: result })).map(within(result)),
    }),
  );

function within(limit: number) {
  return ([from, length]: [number, number]) => ({ from, length: Math.min(length, limit - from) });
}

describe('gives the sums of the reference', () => {
  it('for any image, part, size, window, order of passes and strip', () => {
    const content = fc.constantFrom<Content>('noise', 'black and white', 'columns', 'rows', 'white');
    fc.assert(
      fc.property(
        axis,
        axis,
        content,
        fc.integer(),
        fc.boolean(),
        fc.integer({ min: 1, max: 9000 }),
        (x, y, ...rest) => {
          const [kind, seed, columnsFirst, stripBytes] = rest;
          const across = bicubicTaps(x.part.length, x.result, x.window.from, x.window.length);
          const down = bicubicTaps(y.part.length, y.result, y.window.from, y.window.length);
          const stride = 3 * x.image;
          const start = (y.part.from + down.first) * stride + 3 * (x.part.from + across.first);
          const source = { data: picture(kind, x.image, y.image, seed), start, stride };
          expect(resample(source, across, down, columnsFirst, stripBytes)).toEqual(
            reference(source, across, down, columnsFirst),
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  it.each([false, true])(
    'where all weights of an output pixel count, an odd number: columns first %s',
    columnsFirst => {
      // The bounds are rounded apart: 11.5 · 13 / 23 is a little less than 6.5.
      const taps = bicubicTaps(13, 23, 0, 23);
      expect(taps.bounds[2 * 11 + 1]).toBe(taps.size);
      const source = { data: picture('white', 13, 13, 1), start: 0, stride: 3 * 13 };
      expect(resample(source, taps, taps, columnsFirst)).toEqual(reference(source, taps, taps, columnsFirst));
    },
  );

  it.each([
    [2100, 700, false], // two strips
    [700, 2100, true],
    [2, 20_000, true],
    [20_000, 3, false],
  ])('for %d × %d pixels, columns first: %s', (width, height, columnsFirst) => {
    const source = { data: picture('black and white', width, height, 1), start: 0, stride: 3 * width };
    const across = bicubicTaps(width, 224, 0, 224);
    const down = bicubicTaps(height, 224, 0, 224);
    const result = resample(source, across, down, columnsFirst);
    expect(Buffer.compare(result, reference(source, across, down, columnsFirst))).toBe(0);
  });
});
