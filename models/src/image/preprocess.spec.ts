import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeImage } from './decode.js';
import type { RgbImage } from './decode.js';
import { imagePath, readGoldens, sha256 } from './testGoldens.js';
import { loadPixels, preprocess, resizeForTower } from './preprocess.js';
import type { InputSpec, PreprocessMode } from './preprocess.js';
import { resizeBicubic } from './resize.js';

const { images, mean, std } = readGoldens();
const MODES: PreprocessMode[] = ['train-centre', 'openclip-eval'];
const spec = (size: number): InputSpec => ({ size, mean, std });

describe('resizes to the same pixels as Pillow', () => {
  it.each(Object.entries(images))('%s', async (name, golden) => {
    const image = await decodeImage(imagePath(name));
    for (const mode of MODES)
      for (const [size, expected] of Object.entries(golden.resized[mode]!))
        expect(`${mode} ${size} ${sha256(resizeForTower(image, mode, Number(size)).data)}`).toBe(
          `${mode} ${size} ${expected}`,
        );
  });
});

/** SHA-256 of the pixels of transformers 5.23's CLIPImageProcessorPil with sizes of 32, before it rescales them. */
it.each([
  ['shape-224x500.jpg', 'f699fc3de587c2cb1cbcbf49b3fba529e639b62c7b1afa511af53a16c38de9b5'],
  ['shape-401x300.jpg', '5958bfe47914078237bf4a7620657e07a758f3e4817e3fbcad8f9cc7f86d9749'],
  ['shape-96x170.png', '6ba7a4180a8c6f7fbc405f2b2f8d120ec620583d8c3c73318a881db05a12378c'],
])('cuts the centre of %s where transformers does', async (name, expected) => {
  const image = await decodeImage(imagePath(name));
  expect(sha256(resizeForTower(image, 'openclip-eval', 32, 'first').data)).toBe(expected);
});

it.each(Object.entries(images))('normalises %s in fp32 to the last bit', async (name, { normalised }) => {
  const pixels = await loadPixels(imagePath(name), 'train-centre', spec(224));
  expect(pixels).toHaveLength(3 * 224 * 224);
  for (const [at, value] of Object.entries(normalised)) expect(pixels[Number(at)]).toBe(value);
});

const byte = fc.integer({ min: 0, max: 255 });
const side = fc.integer({ min: 1, max: 60 });
const image: fc.Arbitrary<RgbImage> = fc
  .tuple(side, side, fc.integer())
  .map(([width, height, seed]) => ({ width, height, data: noise(3 * width * height, seed) }));

/** Reproducible bytes (a linear congruential generator). */
function noise(length: number, seed: number): Uint8Array {
  let state = seed >>> 0;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

function whole({ width, height }: RgbImage) {
  return { left: 0, top: 0, width, height };
}

describe('for any image', () => {
  it('keeps a plain colour plain', () => {
    fc.assert(
      fc.property(
        side,
        side,
        side,
        side,
        fc.tuple(byte, byte, byte),
        (width, height, toWidth, toHeight, colour) => {
          const plain = {
            width,
            height,
            data: Uint8Array.from({ length: 3 * width * height }, (_, i) => colour[i % 3]!),
          };
          const resized = resizeBicubic(plain, whole(plain), toWidth, toHeight);
          expect(resized.data.every((value, i) => value === colour[i % 3])).toBe(true);
          expect(resized.data).toHaveLength(3 * toWidth * toHeight);
        },
      ),
    );
  });

  it('leaves an image of the wanted size as it is', () => {
    fc.assert(
      fc.property(image, picture => {
        const same = resizeBicubic(picture, whole(picture), picture.width, picture.height);
        expect(same.data).toEqual(picture.data);
      }),
    );
  });

  it('computes a window as it is in the whole', () => {
    const window = fc.tuple(
      fc.nat(20),
      fc.nat(20),
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 20 }),
    );
    fc.assert(
      fc.property(image, window, (picture, [left, top, width, height]) => {
        const all = resizeBicubic(picture, whole(picture), 40, 40);
        const part = resizeBicubic(picture, whole(picture), 40, 40, { left, top, width, height });
        for (let y = 0; y < height; y++) {
          const row = 3 * ((top + y) * 40 + left);
          expect(part.data.subarray(3 * y * width, 3 * (y + 1) * width)).toEqual(
            all.data.subarray(row, row + 3 * width),
          );
        }
      }),
    );
  });

  it('mirrors with the image', () => {
    const mirrored = ({ width, height, data }: RgbImage): RgbImage => {
      const result = new Uint8Array(data.length);
      for (let pixel = 0; pixel < width * height; pixel++) {
        const from = 3 * (pixel - (pixel % width) + width - 1 - (pixel % width));
        result.set(data.subarray(from, from + 3), 3 * pixel);
      }
      return { width, height, data: result };
    };
    fc.assert(
      fc.property(image, side, side, (picture, width, height) => {
        const one = mirrored(resizeBicubic(picture, whole(picture), width, height)).data;
        const other = resizeBicubic(mirrored(picture), whole(picture), width, height).data;
        // Weights of both sides are rounded apart from each other.
        expect(one.every((value, i) => Math.abs(value - other[i]!) <= 1)).toBe(true);
      }),
    );
  });

  it.each(MODES)('gives 3 · size² finite values in %s', mode => {
    fc.assert(
      fc.property(image, fc.constantFrom(16, 32, 96), (picture, size) => {
        const pixels = preprocess(picture, mode, spec(size));
        expect(pixels).toHaveLength(3 * size * size);
        expect(pixels.every(Number.isFinite)).toBe(true);
      }),
    );
  });
});
