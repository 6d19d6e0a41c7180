/**
 * Every golden of test/fixtures/towers: image features, and text embeddings, against open_clip, timm and transformers.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPixels, openClip } from '@dermcap/models';
import type { ClipModel } from '@dermcap/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imagePath } from './goldens.js';

const TOWERS = join(import.meta.dirname, '..', 'fixtures', 'towers');
const TOLERANCE = 1e-5;

interface Goldens {
  images: string[];
  texts: string[];
  towers: Record<string, { why: string; features: number[][]; texts: number[][] }>;
}
const goldens = JSON.parse(readFileSync(join(TOWERS, 'expected.json'), 'utf8')) as Goldens;
const farthest = { features: 0, texts: 0 };
let cacheDir: string;

beforeAll(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-towers-'));
});

afterAll(async () => {
  await rm(cacheDir, { recursive: true, force: true });
  console.log(
    `towers: image features max |Δ| ${farthest.features.toExponential(1)}, texts ${farthest.texts.toExponential(1)}`,
  );
});

describe.each(Object.entries(goldens.towers))('%s', (name, golden) => {
  let clip: ClipModel;
  let pixels: Float32Array[];

  beforeAll(async () => {
    clip = await openClip(join(TOWERS, name), { provider: 'cpu', threads: 1, cacheDir });
    pixels = await Promise.all(
      goldens.images.map(image => loadPixels(imagePath(image), 'train-centre', clip.input)),
    );
  });

  afterAll(async () => {
    await clip?.close();
  });

  it(`gives the features of its pictures: ${golden.why}`, async () => {
    const features = await clip.imageFeatures(pixels);
    // Relative to the size of such a vector, which is not 1.
    const size = Math.max(...golden.features.flat().map(Math.abs));
    const distance = difference(features, golden.features) / size;
    farthest.features = Math.max(farthest.features, distance);
    expect(distance).toBeLessThan(TOLERANCE);
  });

  it('gives the same of unit length', async () => {
    const unit = golden.features.map(row => {
      const length = Math.hypot(...row);
      return row.map(value => value / length);
    });
    expect(difference(await clip.imageEmbeddings(pixels), unit)).toBeLessThan(TOLERANCE);
  });

  it('gives the embeddings of texts, together and alone', async () => {
    const together = await clip.textEmbeddings(goldens.texts);
    const distance = difference(together, golden.texts);
    farthest.texts = Math.max(farthest.texts, distance);
    expect(distance).toBeLessThan(TOLERANCE);
    const [last] = await clip.textEmbeddings(goldens.texts.slice(-2, -1));
    expect(difference([last!], golden.texts.slice(-2, -1))).toBeLessThan(TOLERANCE);
  });
});

function difference(actual: readonly ArrayLike<number>[], expected: readonly number[][]): number {
  expect(actual.map(row => row.length)).toEqual(expected.map(row => row.length));
  return Math.max(...expected.flatMap((row, i) => row.map((value, j) => Math.abs(actual[i]![j]! - value))));
}
