import { InferenceSession, Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { uniforms } from '../runtime/draws.js';
import { Graph } from './builder.js';
import { drawCandidates } from './sampling.js';

interface Options {
  temperature: number;
  /** 0: off */
  topK: number;
  topP: number;
}

let session: InferenceSession;

beforeAll(async () => {
  const g = new Graph('sampling');
  const given = {
    scores: g.input('scores', 'float', [null, 1, null]),
    tokens: g.input('tokens', 'int64', [null, 1, null]),
  };
  const drawn = drawCandidates(g, given, g.range(g.size(given.scores, 0)), g.ints([0]), {
    sample: g.input('sample', 'bool', []),
    temperature: g.input('temperature', 'float', []),
    topK: g.input('topK', 'int64', [1]),
    tailMass: g.input('tailMass', 'double', []),
    draws: g.input('draws', 'double', [null, null]),
  });
  const [, best] = g.topK(drawn.scores, g.ints([1]));
  g.output(g.squeeze(g.gatherElements(drawn.tokens, best, 2), 1, 2), 'int64', [null], 'drawn');
  session = await InferenceSession.create(g.encode());
});

/** The token that is drawn at each number; tokens are 0, 1, 2, … */
async function draw(logits: number[], options: Options, numbers: number[], sample = true): Promise<number[]> {
  const rows = numbers.length;
  const perRow = [rows, 1, logits.length];
  const repeat = Array.from({ length: rows }, () => logits).flat();
  const { drawn } = await session.run({
    scores: new Tensor('float32', Float32Array.from(repeat), perRow),
    tokens: new Tensor(
      'int64',
      BigInt64Array.from(repeat, (_, i) => BigInt(i % logits.length)),
      perRow,
    ),
    sample: new Tensor('bool', Uint8Array.of(sample ? 1 : 0), []),
    temperature: new Tensor('float32', Float32Array.of(options.temperature), []),
    topK: new Tensor('int64', BigInt64Array.of(BigInt(options.topK || logits.length)), [1]),
    tailMass: new Tensor('float64', Float64Array.of(1 - options.topP), []),
    draws: new Tensor('float64', Float64Array.from(numbers), [rows, 1]),
  });
  return Array.from(drawn!.data as BigInt64Array, Number);
}

const OFF: Options = { temperature: 1, topK: 0, topP: 1 };
const logOf = (probabilities: number[]) => probabilities.map(Math.log);

describe('a draw', () => {
  it('takes the token in whose share of the distribution the number falls, likeliest first', async () => {
    const logits = logOf([0.1, 0.5, 0.15, 0.25]);
    const numbers = [0, 0.499, 0.501, 0.749, 0.751, 0.899, 0.901, 1 - 2 ** -32];
    expect(await draw(logits, OFF, numbers)).toEqual([1, 1, 3, 3, 2, 2, 0, 0]);
  });

  it('never takes a banned token, and takes the best without sampling', async () => {
    expect(await draw([1, -Infinity, 0.5], OFF, [0, 1 - 2 ** -32])).toEqual([0, 2]);
    expect(await draw([1, 3, 0.5], OFF, [0, 0.99], false)).toEqual([1, 1]);
  });

  it('keeps with top-k what ties with the k-th', async () => {
    const logits = logOf([0.4, 0.2, 0.2, 0.2]);
    expect(await draw(logits, { ...OFF, topK: 2 }, [0.39, 0.59, 0.79, 0.99])).toEqual([0, 1, 2, 3]);
    expect(await draw(logits, { ...OFF, topK: 1 }, [0.99])).toEqual([0]);
  });

  it('keeps with top-p the fewest tokens that reach p, and always one', async () => {
    const logits = logOf([0.4, 0.3, 0.2, 0.1]);
    const last = 1 - 2 ** -32;
    for (const [topP, least] of [
      [0.001, 0],
      [0.39, 0],
      [0.41, 1],
      [0.69, 1],
      [0.71, 2],
      [0.91, 3],
    ] as const)
      expect(await draw(logits, { ...OFF, topP }, [last])).toEqual([least]);
  });

  it('follows the distribution: chi-square over 10,000 seeded draws', async () => {
    const logits = Array.from({ length: 30 }, (_, i) => 3 * Math.sin(7.3 * i));
    const numbers = uniforms({ seed: 1, image: 2n, stage: 3 }, 10_000);
    for (const options of [
      OFF,
      { temperature: 0.7, topK: 12, topP: 1 },
      { temperature: 1.5, topK: 20, topP: 0.8 },
    ]) {
      const expected = distribution(logits, options);
      const counts = Array<number>(logits.length).fill(0);
      for (const token of await draw(logits, options, numbers)) counts[token]!++;
      expect(counts.filter((count, token) => count > 0 && expected[token] === 0)).toEqual([]);
      const kept = expected.flatMap((p, token) => (p > 0 ? [{ p, count: counts[token]! }] : []));
      const chiSquare = kept
        .map(({ p, count }) => (count - p * numbers.length) ** 2 / (p * numbers.length))
        .reduce((a, b) => a + b);
      // Five standard deviations above the mean of the chi-square distribution.
      const freedom = kept.length - 1;
      expect(chiSquare).toBeLessThan(freedom + 5 * Math.sqrt(2 * freedom));
    }
  });
});

/** Probabilities after temperature, top-k and top-p, by their definitions. */
function distribution(logits: number[], { temperature, topK, topP }: Options): number[] {
  const order = logits.map((_, i) => i).sort((a, b) => logits[b]! - logits[a]!);
  const weights = order.map(i => Math.exp(logits[i]! / temperature)).slice(0, topK || logits.length);
  const total = weights.reduce((a, b) => a + b);
  const result = Array<number>(logits.length).fill(0);
  let reached = 0;
  for (const [rank, weight] of weights.entries()) {
    if (reached >= topP) break;
    result[order[rank]!] = weight / total;
    reached += weight / total;
  }
  return result.map(p => p / reached);
}
