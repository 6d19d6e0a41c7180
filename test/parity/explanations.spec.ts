/**
 * Every golden of test/fixtures/explanations: attention, likelihoods and divergences against transformers with eager
 * attention, the tower's rollout against timm's, saliency against a plain loop over images in PyTorch.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attentionShares, loadPixels, openExplainer, reduceAttention } from '@dermcap/models';
import type { Explainer, StageId } from '@dermcap/models';
import { remoteExplainer } from '@dermcap/models/remote-explainer';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imagePath, readGoldens, releasePath, towerPath } from './goldens.js';

const TOLERANCE = 1e-4;

interface GoldenReading {
  stage: StageId;
  promptTokens: number[];
  shape: [layers: number, heads: number, tokens: number, positions: number];
  /** These four: 16-bit fixed point in base64. */
  attention: string;
  mean: string;
  max: string;
  rollout: string;
  logProbability: number[];
  rank: number[];
  entropy: number[];
  topTokens: number[][];
  topLogProbability: number[][];
}

interface Text {
  id: string;
  release: string;
  image: string;
  text: string | number[];
  prompt?: string;
}

interface Goldens {
  readings: (Text & {
    endOfText?: boolean;
    tokens: number[];
    topK: number;
    readings: GoldenReading[];
    divergences: {
      stages: [StageId, StageId];
      forward: number[];
      backward: number[];
      jensenShannon: number[];
    }[];
  })[];
  vision: { tower: string; image: string; pooled: number[] }[];
  saliency: (Text & {
    /** Another than the release's own. */
    tower?: string;
    stage: StageId;
    method: 'occlusion' | 'masking';
    window?: number;
    stride?: number;
    masks?: number;
    target: number[];
    grid: number;
    logLikelihood: number;
    values: number[];
  })[];
}

const goldens = JSON.parse(
  readFileSync(join(import.meta.dirname, '..', 'fixtures', 'explanations', 'expected.json'), 'utf8'),
) as Goldens;
const { releases } = readGoldens();
const farthest: Record<string, number> = {};
const opened = new Map<string, Promise<Explainer>>();
let cacheDir: string;

beforeAll(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-explanations-'));
});

afterAll(async () => {
  for (const explainer of opened.values()) await (await explainer).close();
  await rm(cacheDir, { recursive: true, force: true });
  const distances = Object.entries(farthest).map(([name, value]) => `${name} ${value.toExponential(1)}`);
  console.log(`explanations max |Δ|: ${distances.join(', ')}`);
});

/** In test/fixtures/captions or, of every other kind, in test/fixtures/towers. */
function towerDir(name: string): string {
  const own = Object.values(releases).some(({ tower }) => tower === name);
  return own ? towerPath(name) : join(import.meta.dirname, '..', 'fixtures', 'towers', name);
}

function open(release: string, tower = releases[release]!.tower): Promise<Explainer> {
  const key = `${release} ${tower}`;
  let explainer = opened.get(key);
  if (!explainer) {
    explainer = openExplainer({
      releases: [{ dir: releasePath(release), clipDir: towerDir(tower), stages: releases[release]!.stages }],
      provider: 'cpu',
      threads: 1,
      cacheDir,
    });
    opened.set(key, explainer);
  }
  return explainer;
}

const pixelsOf = (explainer: Explainer, image: string) =>
  loadPixels(imagePath(image), 'train-centre', explainer.inputs[0]!, { autoOrient: false });

function sixteenBits(text: string): number[] {
  const bytes = Buffer.from(text, 'base64');
  return Array.from({ length: bytes.length / 2 }, (_, i) => bytes.readUInt16LE(2 * i) / 65535);
}

function compare(what: string, actual: ArrayLike<number>, expected: readonly number[], relative = 0): void {
  expect(actual, what).toHaveLength(expected.length);
  let distance = 0;
  expected.forEach((value, i) => {
    distance = Math.max(distance, Math.abs(actual[i]! - value) / (1 + relative * Math.abs(value)));
  });
  farthest[what] = Math.max(farthest[what] ?? 0, distance);
  expect(distance, what).toBeLessThan(TOLERANCE);
}

describe('texts', () => {
  it.each(goldens.readings)('$id: $release reads as transformers does', async golden => {
    const explainer = await open(golden.release);
    const explanation = await explainer.explain(await pixelsOf(explainer, golden.image), {
      text: golden.text,
      topK: golden.topK,
      ...(golden.prompt === undefined ? {} : { prompt: golden.prompt }),
      ...(golden.endOfText === undefined ? {} : { endOfText: golden.endOfText }),
    });
    const stageId = (index: number) => explainer.stages[index]!.id;
    expect(explanation.readings.map(reading => stageId(reading.stage))).toEqual(
      golden.readings.map(r => r.stage),
    );
    explanation.readings.forEach((reading, s) => {
      const expected = golden.readings[s]!;
      const { attention, tokens } = reading;
      const { layers, heads, tokens: count, positions } = attention;
      expect([layers, heads, count, positions]).toEqual(expected.shape);
      expect(reading.promptTokens.map(token => token.id)).toEqual(expected.promptTokens);
      compare('attention', attention.values, sixteenBits(expected.attention));
      compare('mean', reduceAttention(attention, 'mean'), sixteenBits(expected.mean));
      compare('max', reduceAttention(attention, 'max'), sixteenBits(expected.max));
      compare('rollout', reading.rollout, sixteenBits(expected.rollout));
      for (const rows of [attention.values, reading.rollout])
        for (const { prefix, prompt, earlier } of attentionShares(rows, attention))
          expect(prefix + prompt + earlier).toBeCloseTo(1, 5);

      const of = <K extends keyof (typeof tokens)[number]>(key: K) => tokens.map(token => token[key]);
      expect(of('id')).toEqual(golden.tokens);
      compare('log-probability', of('logProbability'), expected.logProbability);
      compare('entropy', of('entropy'), expected.entropy);
      expect(of('rank')).toEqual(expected.rank);
      const alternatives = of('alternatives');
      expect(alternatives.map(row => row.map(({ id }) => id))).toEqual(expected.topTokens);
      compare(
        'alternatives',
        alternatives.flat().map(({ logProbability }) => logProbability),
        expected.topLogProbability.flat(),
      );
    });
    expect(explanation.divergences.map(({ stages }) => stages.map(stageId))).toEqual(
      golden.divergences.map(({ stages }) => stages),
    );
    explanation.divergences.forEach((divergence, i) => {
      for (const measure of ['forward', 'backward', 'jensenShannon'] as const)
        compare(measure, divergence[measure], golden.divergences[i]![measure]);
    });
  });
});

describe('vision tower', () => {
  it.each(goldens.vision)('$tower, $image: attention rollout as of its library’s weights', async golden => {
    // Of a release with a projector for this tower; the towers of other kinds all give 24 values.
    const [release] = Object.entries(releases).find(([, { tower }]) => tower === golden.tower) ?? [
      'no-config',
    ];
    const explainer = await open(release!, golden.tower);
    const { grid, values, classToken } = await explainer.visionRollout(
      await pixelsOf(explainer, golden.image),
    );
    expect(values).toHaveLength(grid ** 2);
    compare('vision rollout', classToken === null ? values : [classToken, ...values], golden.pooled);
  });
});

describe('several releases', () => {
  it('each read with its own tower and vocabulary, and are compared where they read the same tokens', async () => {
    const golden = goldens.readings.find(({ id }) => id === 'pair')!;
    const names = ['shared-pair', 'legacy-eight-slots'];
    const explainer = await openExplainer({
      releases: names.map(name => ({ dir: releasePath(name), clipDir: towerPath(releases[name]!.tower) })),
      provider: 'cpu',
      threads: 1,
      cacheDir,
    });
    try {
      const pixels = await Promise.all(
        explainer.inputs.map(input =>
          loadPixels(imagePath(golden.image), 'train-centre', input, { autoOrient: false }),
        ),
      );
      expect(pixels.map(({ length }) => length)).toEqual([3 * 160 * 160, 3 * 96 * 96]);
      const { readings, divergences } = await explainer.explain({ pixels }, { text: golden.text });
      expect(explainer.stages.map(({ release, id }) => [release, id])).toEqual([
        [0, 'a'],
        [0, 'b'],
        [1, 'a'],
      ]);
      golden.readings.forEach((expected, s) =>
        compare('attention', readings[s]!.attention.values, sixteenBits(expected.attention)),
      );
      const texts = readings.map(({ tokens }) => tokens.map(({ text }) => text).join(''));
      expect(texts[2]).toBe(texts[0]);
      expect(readings[2]!.tokens.map(({ id }) => id)).not.toEqual(golden.tokens);
      expect(divergences.map(({ stages }) => stages)).toEqual([[0, 1]]);
      await expect(explainer.explain(pixels[0]!, { text: 'a', stages: [2] })).rejects.toMatchObject({
        code: 'pixels-missing',
      });
    } finally {
      await explainer.close();
    }
  });
});

describe('refuses', () => {
  const text = 'a red plaque';
  const occlusion = { method: 'occlusion', stage: 0, text } as const;
  type Ask = (explainer: Explainer, pixels: Float32Array) => Promise<unknown>;
  it.each<[what: string, code: string, message: RegExp, ask: Ask]>([
    ['an empty text', 'text-empty', /no token/, (e, p) => e.explain(p, { text: '' })],
    ['a text too long', 'text-too-long', /exceed/, (e, p) => e.explain(p, { text: text.repeat(50) })],
    ['unknown tokens', 'tokenizer-mismatch', /token 9999/, (e, p) => e.explain(p, { text: [1, 9999] })],
    ['unknown stages', 'stage-missing', /no stage 5/, (e, p) => e.explain(p, { text, stages: [5] })],
    ['unknown towers', 'tower-missing', /no vision tower 1/, (e, p) => e.visionRollout(p, 1)],
    ['another size', 'pixels-missing', /3 × 160 × 160/, e => e.visionRollout(new Float32Array(3))],
    [
      'tokens behind the text',
      'token-missing',
      /no token 99/,
      (e, p) => e.saliency(p, { ...occlusion, target: { tokens: [99] } }),
    ],
    [
      'a window larger than the image',
      'saliency-options',
      /window is 11 patches/,
      (e, p) => e.saliency(p, { ...occlusion, window: 11 }),
    ],
  ])('%s', async (_what, code, message, ask) => {
    const explainer = await open('shared-pair');
    const pixels = await pixelsOf(explainer, 'square.png');
    await expect(ask(explainer, pixels)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });
});

describe('in a worker thread', () => {
  it('answers as here, tells how far it is, and stops when told to', async () => {
    const golden = goldens.saliency.find(({ id }) => id === 'patches')!;
    const { tower } = releases[golden.release]!;
    const remote = await remoteExplainer({
      releases: [{ dir: releasePath(golden.release), clipDir: towerPath(tower) }],
      provider: 'cpu',
      threads: 1,
      cacheDir,
    });
    try {
      const here = await open(golden.release);
      const pixels = await pixelsOf(here, golden.image);
      const request = { text: golden.text, topK: 2 };
      expect(await remote.explain(pixels, request)).toEqual(await here.explain(pixels, request));

      const heard: number[][] = [];
      const whole = { stage: 0, text: golden.text, method: 'occlusion', batchSize: 50 } as const;
      const map = await remote.saliency(pixels, whole, {
        onProgress: (done, total) => heard.push([done, total]),
      });
      compare('occlusion', map.values, golden.values);
      expect(heard).toEqual([
        [50, 101],
        [100, 101],
        [101, 101],
      ]);

      const controller = new AbortController();
      let done = 0;
      const stopped = remote.saliency(
        pixels,
        { ...whole, batchSize: 1 },
        {
          signal: controller.signal,
          onProgress: count => {
            done = count;
            if (count === 3) controller.abort(new Error('seen enough'));
          },
        },
      );
      await expect(stopped).rejects.toThrow('seen enough');
      expect(done).toBeLessThan(101);
      // The thread is free again.
      expect((await remote.visionRollout(pixels)).grid).toBe(golden.grid);
    } finally {
      await remote.close();
    }
  });
});

describe('saliency', () => {
  it.each(goldens.saliency)('$id: $method as a loop over images finds it', async golden => {
    const explainer = await open(golden.release, golden.tower);
    const { method, window, stride, masks } = golden;
    const saliency = await explainer.saliency(await pixelsOf(explainer, golden.image), {
      stage: explainer.stages.findIndex(({ id }) => id === golden.stage),
      text: golden.text,
      target: { tokens: golden.target },
      batchSize: 7,
      ...(golden.prompt === undefined ? {} : { prompt: golden.prompt }),
      ...(method === 'occlusion' ? { method, window, stride } : { method, masks }),
    });
    expect(saliency.grid).toBe(golden.grid);
    expect(saliency.tokens).toEqual(golden.target);
    compare('log-likelihood', [saliency.logLikelihood], [golden.logLikelihood]);
    compare(method, saliency.values, golden.values);
  });
});
