/**
 * Stages in one graph against each alone, on small random models that share blocks in every pattern. That one stage
 * alone gives transformers' captions is what test/parity proves.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { captionFeeds } from '../runtime/feeds.js';
import { createSession } from '../runtime/session.js';
import { DEFAULT_DECODING } from '../decoding.js';
import type { Weight } from './builder.js';
import { captionGraph } from './caption.js';
import type { CaptionModel } from './lanes.js';
import type { Gpt2Block, Gpt2Weights, PrefixProjector } from './weights.js';

const SIZES = { width: 8, heads: 2, vocabulary: 31, positions: 64, endOfText: 30 };
const EMBEDDING = 5;
const DEPTH = 3;
const CPU = { name: 'cpu', reason: '' } as const;

let folder: string;
let file: string;

/** Weights by name, cut from one file of noise: the same name is the same tensor. */
const places = new Map<string, number>();
let used = 0;
function weight(name: string, ...shape: number[]): Weight {
  const key = `${name}:${shape.join('x')}`;
  if (!places.has(key)) {
    places.set(key, used);
    used += 4 * shape.reduce((a, b) => a * b, 1);
  }
  return { file, offset: places.get(key)!, shape };
}

const pair = (name: string, shape: number[], bias: number) => ({
  weight: weight(name, ...shape),
  bias: weight(`${name}.bias`, bias),
});
const norm = (name: string) => pair(name, [SIZES.width], SIZES.width);

function block(name: string): Gpt2Block {
  const { width } = SIZES;
  return {
    ln1: norm(`${name}.ln1`),
    attention: {
      qkv: pair(`${name}.qkv`, [width, 3 * width], 3 * width),
      out: pair(`${name}.out`, [width, width], width),
    },
    ln2: norm(`${name}.ln2`),
    mlp: {
      up: pair(`${name}.up`, [width, 4 * width], 4 * width),
      down: pair(`${name}.down`, [4 * width, width], width),
    },
  };
}

function projector(name: string, slots: number): PrefixProjector {
  const { width } = SIZES;
  return {
    kind: 'prefix',
    fc1: pair(`${name}.fc1`, [6, EMBEDDING], 6),
    fc2: pair(`${name}.fc2`, [slots * width, 6], slots * width),
    norm: norm(`${name}.norm`),
    alpha: weight(`${name}.alpha`),
  };
}

interface Plan {
  /** Which variant of each block, and of the head, this stage has. */
  blocks: number[];
  prefix: number;
  prompt: number[];
}

function stageWeights({ blocks }: Plan): Gpt2Weights {
  const { width, vocabulary, positions } = SIZES;
  const head = blocks[DEPTH]!;
  const embedding = weight(`wte.${head}`, vocabulary, width);
  return {
    tokenEmbedding: embedding,
    positionEmbedding: weight('wpe', positions, width),
    blocks: Array.from({ length: DEPTH }, (_, l) => block(`h.${l}.${blocks[l]}`)),
    finalNorm: norm('ln_f'),
    head: embedding,
  };
}

const firstWith = <T>(items: readonly T[], key: (item: T) => unknown) =>
  items.map(item => items.findIndex(other => key(other) === key(item)));

function modelOf(plans: readonly Plan[]): CaptionModel {
  const distinct = [...new Set(plans.map(({ prefix }) => prefix))];
  return {
    sizes: SIZES,
    prefixes: distinct.map(prefix => ({
      tower: prefix,
      input: 'embedding',
      slots: 2 + prefix,
      embedding: EMBEDDING,
      projector: projector(`prefix.${prefix}`, 2 + prefix),
    })),
    stages: plans.map(plan => ({ weights: stageWeights(plan), prefix: distinct.indexOf(plan.prefix) })),
    equal: Array.from({ length: DEPTH + 1 }, (_, l) => firstWith(plans, ({ blocks }) => blocks[l])),
    equalStart: firstWith(plans, ({ prefix }) => prefix),
  };
}

async function run(plans: readonly Plan[], images: number, options: Partial<typeof DEFAULT_DECODING>) {
  const model = modelOf(plans);
  const session = await createSession(captionGraph(model), CPU, 1);
  try {
    const features = new Map(
      model.prefixes.map(({ tower }) => [
        tower,
        Float32Array.from({ length: images * EMBEDDING }, (_, i) => Math.sin(7 * i + tower)),
      ]),
    );
    const decoding = {
      ...DEFAULT_DECODING,
      ...options,
      badWords: [],
      stopToken: SIZES.endOfText,
      streams: [],
    };
    const feeds = captionFeeds(
      model,
      features,
      plans.map(({ prompt }) => prompt),
      decoding,
    );
    const { tokens, scores } = await session.run(feeds);
    const length = tokens!.dims[2]!;
    const ids = Array.from(tokens!.data as BigInt64Array, Number);
    return Array.from({ length: images }, (_, image) =>
      plans.map((_, s) => {
        const at = image * plans.length + s;
        return {
          tokens: ids.slice(at * length, (at + 1) * length),
          score: (scores!.data as Float32Array)[at]!,
        };
      }),
    );
  } finally {
    await session.release();
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-graph-'));
  file = join(folder, 'noise');
  const floats = 1 << 16;
  // A small linear congruential generator: the same noise every time.
  let state = 1;
  const values = Float32Array.from({ length: floats }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32 - 0.5) * 1.2;
  });
  await writeFile(file, new Uint8Array(values.buffer));
});
afterAll(() => rm(folder, { recursive: true }));

const plan = fc.record({
  blocks: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: DEPTH + 1, maxLength: DEPTH + 1 }),
  prefix: fc.integer({ min: 0, max: 1 }),
  prompt: fc.array(fc.integer({ min: 0, max: SIZES.vocabulary - 1 }), { maxLength: 4 }),
});

describe('stages in one graph', () => {
  it('caption as each alone, whatever they share', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(plan, { minLength: 2, maxLength: 4 }),
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom(1, 3),
        fc.constantFrom(4, 20),
        async (plans, images, numBeams, maxNewTokens) => {
          const options = { numBeams, maxNewTokens, minNewTokens: 2, repetitionPenalty: 1.3 };
          const together = await run(plans, images, options);
          for (const [s, own] of plans.entries()) {
            const alone = await run([own], images, options);
            for (let image = 0; image < images; image++) {
              expect(together[image]![s]!.tokens).toEqual(alone[image]![0]!.tokens);
              if (numBeams > 1) expect(together[image]![s]!.score).toBeCloseTo(alone[image]![0]!.score, 4);
            }
          }
        },
      ),
      { numRuns: 15, seed: 5 },
    );
  });

  it('caption an image alike alone and in a batch whose images end at different steps', async () => {
    const plans: Plan[] = [
      { blocks: [0, 0, 0, 0], prefix: 0, prompt: [3, 4] },
      { blocks: [0, 1, 0, 1], prefix: 0, prompt: [5] },
    ];
    const options = { numBeams: 2, maxNewTokens: 40, minNewTokens: 1, noRepeatNgramSize: 2 };
    const all = await run(plans, 6, options);
    const lengths = all.flat().map(({ tokens }) => tokens.filter(token => token >= 0).length);
    expect(new Set(lengths).size).toBeGreaterThan(1);
    const first = await run(plans, 1, options);
    expect(all[0]!.map(({ tokens }) => tokens)).toEqual(first[0]!.map(({ tokens }) => tokens));
  });
});
