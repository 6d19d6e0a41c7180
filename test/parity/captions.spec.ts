/**
 * Every golden of test/fixtures/captions: our captions against those of transformers and open_clip. Resized
 * pixels, tokens and texts must be equal; scores and embeddings may differ by what another order of summation
 * makes of fp32.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPixels, openCaptioner } from '@dermcap/models';
import type { Captioner, InputSpec, PreprocessMode } from '@dermcap/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareCaptions, newTally } from './compare.js';
import { imagePath, readGoldens, releasePath, towerPath } from './goldens.js';

const TOLERANCE = 1e-4;
const goldens = readGoldens();
const tally = { ...newTally(), embeddings: 0, farthest: 0 };
let cacheDir: string;

beforeAll(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-parity-'));
});

afterAll(async () => {
  await rm(cacheDir, { recursive: true, force: true });
  console.log(
    `parity: ${tally.captions} captions, ${tally.identical} token-identical, scores max |Δ| ${tally.score.toExponential(1)}; ` +
      `${tally.embeddings} embeddings max |Δ| ${tally.farthest.toExponential(1)}`,
  );
});

describe.each(Object.entries(goldens.releases))('release %s', (name, { why, tower, stages }) => {
  let captioner: Captioner;

  beforeAll(async () => {
    captioner = await openCaptioner({
      releases: [{ dir: releasePath(name), clipDir: towerPath(tower), stages }],
      provider: 'cpu',
      threads: 1,
      cacheDir,
    });
  });

  afterAll(async () => {
    await captioner?.close();
  });

  const cases = goldens.cases.filter(({ release }) => release === name);
  const whole = cases.filter(c => c.stages.length === stages.length);
  const parts = cases.filter(c => c.stages.length < stages.length);

  it(`opens: ${why}`, () => {
    expect(captioner.releases.map(release => release.name)).toEqual([name]);
    expect(captioner.stages.map(stage => stage.id)).toEqual(stages);
  });

  it.each(whole)('$id', async golden => {
    await compareCaptions(captioner, golden, tally);
  });

  it.each(parts)('$id', async golden => {
    const alone = await openCaptioner({
      releases: [{ dir: releasePath(name), clipDir: towerPath(tower), stages: golden.stages }],
      provider: 'cpu',
      threads: 1,
      cacheDir,
    });
    try {
      await compareCaptions(alone, golden, tally);
    } finally {
      await alone.close();
    }
  });
});

describe.each(Object.entries(goldens.towers))('tower %s', (name, modes) => {
  let captioner: Captioner;

  beforeAll(async () => {
    const [release, { stages }] = Object.entries(goldens.releases).find(([, { tower }]) => tower === name)!;
    captioner = await openCaptioner({
      releases: [{ dir: releasePath(release), clipDir: towerPath(name), stages: stages.slice(0, 1) }],
      provider: 'cpu',
      threads: 1,
      cacheDir,
    });
  });

  afterAll(async () => {
    await captioner?.close();
  });

  describe.each(Object.entries(modes))('%s', (mode, images) => {
    it.each(Object.entries(images))('%s', async (image, golden) => {
      const pixels = await loadPixels(imagePath(image), mode as PreprocessMode, captioner.inputs[0]!, {
        autoOrient: false,
      });
      expect(resizedSha256(pixels, captioner.inputs[0]!)).toBe(golden.resizedSha256);
      const [embedding] = await captioner.embed([pixels]);
      expect(embedding).toHaveLength(golden.embedding.length);
      const farthest = Math.max(...golden.embedding.map((value, i) => Math.abs(embedding![i]! - value)));
      tally.embeddings++;
      tally.farthest = Math.max(tally.farthest, farthest);
      expect(farthest).toBeLessThan(TOLERANCE);
    });
  });
});

/** Undoes the normalisation: the resized 8-bit image, rows of RGB triples, as the goldens hash it. */
function resizedSha256(pixels: Float32Array, { size, mean, std }: InputSpec): string {
  const bytes = new Uint8Array(3 * size * size);
  for (let channel = 0; channel < 3; channel++)
    for (let i = 0; i < size * size; i++) {
      const value = pixels[channel * size * size + i]! * std[channel]! + mean[channel]!;
      bytes[3 * i + channel] = Math.round(value * 255);
    }
  return createHash('sha256').update(bytes).digest('hex');
}
