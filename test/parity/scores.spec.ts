/** A captioner's scores of given texts against transformers' (test/fixtures/explanations), and of both precisions. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPixels, measureFidelity, openCaptioner } from '@dermcap/models';
import type { Captioner, StageId } from '@dermcap/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imagePath, readGoldens, releasePath, towerPath } from './goldens.js';

interface Reading {
  id: string;
  release: string;
  image: string;
  prompt?: string;
  tokens: number[];
  readings: { stage: StageId; logProbability: number[]; topTokens: number[][] }[];
}

const { readings } = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'fixtures', 'explanations', 'expected.json'), 'utf8'),
) as { readings: Reading[] };
const { releases } = readGoldens();

let cacheDir: string;
beforeAll(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-scores-'));
});
afterAll(() => rm(cacheDir, { recursive: true }));

const open = (release: string, precision: 'exact' | 'fast' = 'exact') => {
  const { tower, stages } = releases[release]!;
  return openCaptioner({
    releases: [{ dir: releasePath(release), clipDir: towerPath(tower), stages }],
    provider: 'cpu',
    precision,
    threads: 1,
    cacheDir,
  });
};
const pixelsOf = ({ inputs }: Pick<Captioner, 'inputs'>, image: string) =>
  loadPixels(imagePath(image), 'train-centre', inputs[0]!, { autoOrient: false });

describe('scores of a given text', () => {
  it.each(readings)('$id: $release scores as transformers does', async golden => {
    const captioner = await open(golden.release);
    try {
      const pixels = await pixelsOf(captioner, golden.image);
      for (const { stage, logProbability, topTokens } of golden.readings) {
        const index = captioner.stages.findIndex(({ id }) => id === stage);
        const scores = await captioner.score(pixels, index, golden.tokens, golden.prompt);
        expect(scores.likeliest).toEqual(topTokens.map(([first]) => first));
        expect(scores.logProbabilities).toHaveLength(logProbability.length);
        logProbability.forEach((value, i) =>
          expect(Math.abs(scores.logProbabilities[i]! - value)).toBeLessThan(1e-4),
        );
      }
    } finally {
      await captioner.close();
    }
  });
});

describe('fidelity', () => {
  const image = (name: string) => ({
    name,
    load: async (inputs: Captioner['inputs']) => ({ pixels: [await pixelsOf({ inputs }, name)] }),
  });

  it('compares both precisions on the exact captions, and goes on behind an image that cannot be read', async () => {
    const names = ['square.png', 'none.png', 'odd.png'];
    const result = await measureFidelity(precision => open('shared-pair', precision), names.map(image), {
      request: { decoding: { maxNewTokens: 12, minNewTokens: 2 } },
      batchSize: 2,
    });
    expect(result.failed.map(({ image: name }) => name)).toEqual(['none.png']);
    expect(result.stages.map(({ stage, captions }) => [stage, captions])).toEqual([
      ['a', 2],
      ['b', 2],
    ]);
    expect(result.overall.tokens).toBeGreaterThan(20);
    // Eight bits change a noisy model's probabilities, and not by much.
    const { mean, p99, max } = result.overall.logProbabilityError;
    expect(mean).toBeGreaterThan(1e-6);
    expect(mean).toBeLessThan(0.2);
    expect(p99).toBeLessThanOrEqual(max);
  });

  it('finds a precision faithful to itself', async () => {
    const { overall, different } = await measureFidelity(() => open('shared-pair'), [image('square.png')], {
      request: { decoding: { maxNewTokens: 12, minNewTokens: 2 } },
    });
    expect(overall).toMatchObject({
      identicalShare: 1,
      argmaxAgreement: 1,
      logProbabilityError: { mean: 0, p99: 0, max: 0 },
    });
    expect(different).toEqual([]);
  });
});
