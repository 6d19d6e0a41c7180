import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attentionRollout, attentionShares, reduceAttention } from './attention.js';
import type { AttentionMap } from './attention.js';

/** Causal attention [layers, heads, L, L] out of arbitrary positive numbers. */
const attention = fc
  .record({
    layers: fc.integer({ min: 1, max: 4 }),
    heads: fc.integer({ min: 1, max: 3 }),
    positions: fc.integer({ min: 2, max: 7 }),
  })
  .chain(size =>
    fc
      .array(fc.double({ min: 0.01, max: 1, noNaN: true }), {
        minLength: size.layers * size.heads * size.positions ** 2,
        maxLength: size.layers * size.heads * size.positions ** 2,
      })
      .map(noise => ({ ...size, values: causal(noise, size.positions) })),
  );

function causal(noise: number[], positions: number): Float32Array {
  const values = new Float32Array(noise.length);
  for (let row = 0; row < noise.length / positions; row++) {
    const seen = noise.slice(row * positions, row * positions + (row % positions) + 1);
    const sum = seen.reduce((a, b) => a + b, 0);
    seen.forEach((value, i) => (values[row * positions + i] = value / sum));
  }
  return values;
}

function rowsOf(values: Float32Array, length: number): number[][] {
  return Array.from({ length: values.length / length }, (_, i) => [
    ...values.subarray(i * length, (i + 1) * length),
  ]);
}

const sum = (row: readonly number[]) => row.reduce((a, b) => a + b, 0);

describe('attentionRollout', () => {
  it('gives rows that sum to 1 and never look ahead', () => {
    fc.assert(
      fc.property(attention, ({ layers, heads, positions, values }) => {
        const means = meanOverHeads(values, layers, heads, positions);
        const rows = Array.from({ length: positions }, (_, i) => i);
        rowsOf(attentionRollout(means, layers, positions, rows), positions).forEach((row, i) => {
          expect(sum(row)).toBeCloseTo(1, 5);
          expect(row.slice(i + 1).every(value => value === 0)).toBe(true);
        });
      }),
    );
  });

  it('leaves every position to itself where each attends to itself', () => {
    const self = Float32Array.of(1, 0, 0, 1);
    expect([...attentionRollout(Float32Array.of(...self, ...self), 2, 2, [1])]).toEqual([0, 1]);
  });

  it('mixes half the attention with half the residual in every layer', () => {
    // Both layers: position 1 attends to position 0 alone. Half stays twice: 1/4.
    const layer = [1, 0, 1, 0];
    expect([...attentionRollout(Float32Array.of(...layer, ...layer), 2, 2, [1])]).toEqual([0.75, 0.25]);
  });

  it('normalises rows that do not sum to 1', () => {
    expect([...attentionRollout(Float32Array.of(1, 0, 2, 1), 1, 2, [1])]).toEqual([0.5, 0.5]);
  });
});

function meanOverHeads(values: Float32Array, layers: number, heads: number, positions: number): Float32Array {
  const size = positions ** 2;
  return Float32Array.from({ length: layers * size }, (_, i) => {
    const layer = Math.floor(i / size);
    let total = 0;
    for (let head = 0; head < heads; head++) total += values[(layer * heads + head) * size + (i % size)]!;
    return total / heads;
  });
}

/** All positions looked at. */
function mapOf({ layers, heads, positions, values }: Shape, prefixSlots = 1, promptTokens = 0): AttentionMap {
  return { layers, heads, tokens: positions, positions, prefixSlots, promptTokens, values };
}
type Shape = Pick<AttentionMap, 'layers' | 'heads' | 'positions' | 'values'>;

describe('reduceAttention', () => {
  it('means sum to 1 again, and no cell of a mean exceeds its maximum', () => {
    fc.assert(
      fc.property(attention, shape => {
        const mean = reduceAttention(mapOf(shape), 'mean');
        const max = reduceAttention(mapOf(shape), 'max');
        for (const row of rowsOf(mean, shape.positions)) expect(sum(row)).toBeCloseTo(1, 5);
        mean.forEach((value, i) => expect(value).toBeLessThanOrEqual(max[i]! + 1e-7));
      }),
    );
  });

  it('takes the layers and heads asked for', () => {
    const map = mapOf({
      layers: 2,
      heads: 2,
      positions: 1,
      values: Float32Array.of(1, 2, 3, 5),
    });
    expect([...reduceAttention(map, 'mean', { layers: [1] })]).toEqual([4]);
    expect([...reduceAttention(map, 'max', { heads: [0] })]).toEqual([3]);
    expect([...reduceAttention(map, 'mean', { layers: [0], heads: [1] })]).toEqual([2]);
  });

  it('names a layer that is not there', () => {
    const map = mapOf({ layers: 2, heads: 1, positions: 1, values: Float32Array.of(1, 1) });
    expect(() => reduceAttention(map, 'mean', { layers: [2] })).toThrow(/no layer 2: the model has 2/);
    expect(() => reduceAttention(map, 'mean', { heads: [] })).toThrow(/No head/);
  });
});

describe('attentionShares', () => {
  it('add up to the row, whatever the prefix and the prompt', () => {
    fc.assert(
      fc.property(attention, fc.nat(), fc.nat(), (shape, a, b) => {
        const prefixSlots = 1 + (a % shape.positions);
        const promptTokens = b % (shape.positions - prefixSlots + 1);
        const map = mapOf(shape, prefixSlots, promptTokens);
        const shares = attentionShares(map.values, map);
        expect(shares).toHaveLength(shape.layers * shape.heads * shape.positions);
        for (const { prefix, prompt, earlier } of shares) expect(prefix + prompt + earlier).toBeCloseTo(1, 5);
      }),
    );
  });

  it('cut the row where prefix and prompt end', () => {
    const [share] = attentionShares(Float32Array.of(1, 2, 4, 8, 16, 32), {
      positions: 6,
      prefixSlots: 2,
      promptTokens: 3,
    });
    expect(share).toEqual({ prefix: 3, prompt: 28, earlier: 32 });
  });
});
