import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { activationMasks, enlarge, maskImage, maskingMap } from './masking.js';
import { occlude, occlusionMap, occlusionWindows } from './occlusion.js';
import { saliencyMap } from './saliency.js';
import type { SaliencySubject } from './saliency.js';

const GRID = 4;
const PATCH = 2;
const SIZE = GRID * PATCH;

/** The "likelihood" of an image is what it holds in one patch, so that the map is known. */
function subject(patchY: number, patchX: number): SaliencySubject & { batches: number[] } {
  const pixels = Float32Array.from({ length: 3 * SIZE * SIZE }, (_, i) => 1 + (i % 7));
  const batches: number[] = [];
  return {
    batches,
    pixels,
    size: SIZE,
    patch: PATCH,
    grid: GRID,
    tokens: 1,
    activations: async () => Float32Array.from({ length: GRID * GRID * 2 }, (_, i) => (i % 2) * i),
    score: async images => {
      batches.push(images.length);
      return images.map(image => {
        let sum = 0;
        for (let channel = 0; channel < 3; channel++)
          for (let y = 0; y < PATCH; y++)
            for (let x = 0; x < PATCH; x++)
              sum += image[(channel * SIZE + patchY * PATCH + y) * SIZE + patchX * PATCH + x]!;
        return sum;
      });
    },
  };
}

describe('occlusion', () => {
  it('covers every patch with windows inside the grid, whatever window and stride', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 14 }).chain(grid =>
          fc.integer({ min: 1, max: grid }).chain(window =>
            fc.record({
              grid: fc.constant(grid),
              window: fc.constant(window),
              stride: fc.integer({ min: 1, max: window }),
            }),
          ),
        ),
        ({ grid, window, stride }) => {
          const windows = occlusionWindows(grid, { window, stride });
          const map = occlusionMap(
            grid,
            windows,
            1,
            windows.map(() => 0),
          ); // every fall is 1
          expect([...map]).toEqual(Array(grid * grid).fill(1));
          for (const { top, bottom, left, right } of windows) {
            expect([bottom - top, right - left]).toEqual([window, window]);
            expect(top >= 0 && left >= 0 && bottom <= grid && right <= grid).toBe(true);
          }
          expect(new Set(windows.map(w => `${w.top},${w.left}`)).size).toBe(windows.length);
        },
      ),
    );
  });

  it.each([
    [{ window: 5, stride: 1 }, /window is 5/],
    [{ window: 0, stride: 1 }, /window is 0/],
    [{ window: 2, stride: 3 }, /stride is 3/],
    [{ window: 1.5, stride: 1 }, /window is 1.5/],
  ])('refuses %o', (options, message) => {
    expect(() => occlusionWindows(4, options)).toThrow(message);
  });

  it('sets the window to 0 in all channels and leaves the rest', () => {
    const covered = occlude(new Float32Array(3 * SIZE * SIZE).fill(9), SIZE, PATCH, {
      top: 1,
      bottom: 2,
      left: 0,
      right: 2,
    });
    const zeros = [...covered].flatMap((value, i) => (value === 0 ? [i] : []));
    const inside = [0, 1, 2].flatMap(c =>
      [2, 3].flatMap(y => [0, 1, 2, 3].map(x => (c * SIZE + y) * SIZE + x)),
    );
    expect(zeros).toEqual(inside);
  });

  it('finds the one patch that matters', async () => {
    const it = subject(2, 1);
    const map = await saliencyMap(it, { method: 'occlusion' }, 5);
    const expected = map.values.findIndex(value => value !== 0);
    expect(expected).toBe(2 * GRID + 1);
    expect(map.values.filter(value => value !== 0)).toEqual(Float32Array.of(map.logLikelihood));
    expect(it.batches).toEqual([5, 5, 5, 2]); // 16 covered images and the whole one
  });
});

describe('masking', () => {
  it('leaves out channels that are the same everywhere and scales the others to 0…1', () => {
    const activations = Float32Array.of(5, -1, 5, 3, 5, 1, 5, -1);
    expect(activationMasks(activations, 2, 9)).toEqual([
      { channel: 1, values: Float32Array.of(0, 1, 0.5, 0) },
    ]);
  });

  it('takes the channels that vary most', () => {
    const activations = Float32Array.of(0, 0, 0, 1, 9, 3);
    expect(activationMasks(activations, 3, 2).map(mask => mask.channel)).toEqual([1, 2]);
  });

  it('enlarges bilinearly between patch centres', () => {
    expect([...enlarge(Float32Array.of(0, 1, 2, 3), 2, 4)]).toEqual([
      0, 0.25, 0.75, 1, 0.5, 0.75, 1.25, 1.5, 1.5, 1.75, 2.25, 2.5, 2, 2.25, 2.75, 3,
    ]);
    expect([...maskImage(new Float32Array(3 * 4).fill(2), 2, Float32Array.of(0.5), 1)]).toEqual(
      Array(12).fill(1),
    );
  });

  it('weighs masks by their share of the likelihood', () => {
    const masks = [
      { channel: 0, values: Float32Array.of(1, 0) },
      { channel: 1, values: Float32Array.of(0, 1) },
    ];
    expect([...maskingMap(masks, [Math.log(3) - 200, -200])].map(v => v.toFixed(6))).toEqual([
      '0.750000',
      '0.250000',
    ]);
  });

  it('says so when there is nothing to mask with', async () => {
    const flat = { ...subject(0, 0), activations: async () => new Float32Array(GRID * GRID * 2) };
    await expect(saliencyMap(flat, { method: 'masking' }, 4)).rejects.toMatchObject({
      code: 'saliency-flat',
    });
  });
});

describe('steering', () => {
  it('tells how far it is, the whole image included', async () => {
    const heard: [number, number][] = [];
    await saliencyMap(subject(0, 0), { method: 'occlusion', window: 2, stride: 2 }, 2, {
      onProgress: (done, total) => heard.push([done, total]),
    });
    expect(heard).toEqual([
      [2, 5],
      [4, 5],
      [5, 5],
    ]);
  });

  it('stops before the next batch with the signal’s reason', async () => {
    const controller = new AbortController();
    const it = subject(0, 0);
    const stopped = saliencyMap(it, { method: 'occlusion' }, 3, {
      signal: controller.signal,
      onProgress: done => {
        if (done >= 6) controller.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
    expect(it.batches).toEqual([3, 3]);
  });
});
