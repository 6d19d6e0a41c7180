/**
 * The whole path on WebGPU, over a device in software: towers, projector, the decoding loop, explanations. A caption
 * is the same on every provider, token by token.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { softwareDevice } from './device.js';

interface Outcome {
  provider: string;
  embeddings: number[][];
  pair: Caption[][];
  greedyPair: Caption[][];
  single: Caption[][];
  readings: number[][];
  divergences: number[][];
  rollout: number[];
}

interface Caption {
  stage: string;
  tokens: number[];
  score: number | null;
}

const TOLERANCE = 1e-3;
const device = softwareDevice();
if (!device)
  console.log(
    'WebGPU is not tested: no Chromium with SwiftShader is installed (Debian: apt install chromium).',
  );

/** In a process of its own: the Vulkan loader reads the environment that a process starts with. */
async function outcome(provider: string, environment: Record<string, string> = {}): Promise<Outcome> {
  const script = join(import.meta.dirname, 'run.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [script, provider], {
    env: { ...process.env, ...environment },
    maxBuffer: 2 ** 28,
  });
  return JSON.parse(stdout) as Outcome;
}

describe.skipIf(!device)('WebGPU', () => {
  let cpu: Outcome;
  let webgpu: Outcome;

  beforeAll(async () => {
    cpu = await outcome('cpu');
    webgpu = await outcome('webgpu', device!.environment);
  }, 900_000);

  it('is what ran', () => {
    expect(webgpu.provider).toBe('webgpu');
    // Sums in another order: not a single bit of difference would mean that the CPU computed both.
    expect(webgpu.embeddings).not.toEqual(cpu.embeddings);
  });

  it('gives the same image embeddings', () => {
    expectClose(webgpu.embeddings, cpu.embeddings, 1e-4);
  });

  for (const [what, key] of [
    ['both stages of two images by beam search', 'pair'],
    ['both stages greedily', 'greedyPair'],
    ['one stage by beam search', 'single'],
  ] as const)
    it(`gives the same tokens: ${what}`, () => {
      expect(webgpu[key].map(stages => stages.map(({ stage, tokens }) => ({ stage, tokens })))).toEqual(
        cpu[key].map(stages => stages.map(({ stage, tokens }) => ({ stage, tokens }))),
      );
      const scores = (captions: Caption[][]) => captions.map(stages => stages.map(({ score }) => score ?? 0));
      expectClose(scores(webgpu[key]), scores(cpu[key]), TOLERANCE);
    });

  it('gives the same explanations', () => {
    expectClose(webgpu.readings, cpu.readings, TOLERANCE);
    expectClose(webgpu.divergences, cpu.divergences, TOLERANCE);
    expectClose([webgpu.rollout], [cpu.rollout], TOLERANCE);
  });
});

function expectClose(ours: number[][], theirs: number[][], tolerance: number): void {
  expect(ours.map(row => row.length)).toEqual(theirs.map(row => row.length));
  const apart = ours.flatMap((row, i) => row.map((value, j) => Math.abs(value - theirs[i]![j]!)));
  // NaN is not within any tolerance.
  expect(apart.length).toBeGreaterThan(0);
  expect(apart.filter(distance => !(distance <= tolerance))).toEqual([]);
}
