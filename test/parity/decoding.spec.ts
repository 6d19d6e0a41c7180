/**
 * Sampling against transformers' own (its processors, warpers and softmax; the draws from the same numbers), and
 * ClipCap's decoders against a plain PyTorch version of them: every golden of test/fixtures/decoding.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPixels, openCaptioner } from '@dermcap/models';
import type { Captioner } from '@dermcap/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imagePath, releasePath, towerPath } from './goldens.js';
import type { GoldenCase } from './goldens.js';

interface DecodingGoldens {
  towers: Record<string, string>;
  cases: (Omit<GoldenCase, 'prompt'> & { imageSeeds?: string[] })[];
}

const file = join(import.meta.dirname, '..', 'fixtures', 'decoding', 'expected.json');
const goldens = JSON.parse(readFileSync(file, 'utf8')) as DecodingGoldens;
const SCORE_TOLERANCE = 1e-5;
let cacheDir: string;

beforeAll(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-decoding-'));
});

afterAll(async () => {
  await rm(cacheDir, { recursive: true, force: true });
});

describe.each(Object.entries(goldens.towers))('release %s', (name, tower) => {
  const cases = goldens.cases.filter(({ release }) => release === name);
  let captioner: Captioner;

  const pixelsOf = (images: readonly string[]) =>
    Promise.all(
      images.map(image =>
        loadPixels(imagePath(image), 'train-centre', captioner.inputs[0]!, { autoOrient: false }),
      ),
    );

  beforeAll(async () => {
    captioner = await openCaptioner({
      releases: [{ dir: releasePath(name), clipDir: towerPath(tower), stages: cases[0]!.stages }],
      provider: 'cpu',
      threads: 1,
      cacheDir,
    });
  });

  afterAll(async () => {
    await captioner?.close();
  });

  it.each(cases)('$id', async ({ images, imageSeeds, decoding, captions }) => {
    const made = await captioner.caption(await pixelsOf(images), {
      decoding,
      imageSeeds: imageSeeds?.map(BigInt),
    });
    expect(made.map(row => row.map(c => c.tokens))).toEqual(captions.map(row => row.map(c => c.tokens)));
    expect(made.flat().map(c => c.caption)).toEqual(captions.flat().map(c => c.caption));
    made.flat().forEach(({ score }, i) => {
      const reference = captions.flat()[i]!.score;
      if (reference === null) expect(score).toBeNull();
      else expect(Math.abs(score! - reference)).toBeLessThan(SCORE_TOLERANCE);
    });
  });

  it('draws the same alone, in a batch and in another order, and otherwise with another seed', async () => {
    const pixels = await pixelsOf(['square.png', 'odd.png', 'tall.png']);
    const draw = async (batch: Float32Array[], seed: number) =>
      (await captioner.caption(batch, { decoding: { doSample: true, seed } })).map(row =>
        row.map(({ tokens }) => tokens),
      );
    const together = await draw(pixels, 3);
    expect(await draw(pixels.toReversed(), 3)).toEqual(together.toReversed());
    expect(await draw([pixels[1]!], 3)).toEqual([together[1]]);
    expect(await draw([pixels[1]!], 4)).not.toEqual([together[1]]);
  });
});
