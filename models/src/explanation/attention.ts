/**
 * What can be said of attention weights once they are there: means, maxima, shares, rollout. Pure functions over
 * row-major arrays; a row sums to 1 over the positions it sees and is 0 at later ones.
 */
import { DermcapError } from '../errors.js';

/** Attention of the looked-at tokens: the weights with which the position that predicts each reads what is before it. */
export interface AttentionMap {
  layers: number;
  heads: number;
  /** N */
  tokens: number;
  /** L = prefix slots + prompt tokens + tokens of the text fed (all but the last), in this order. */
  positions: number;
  prefixSlots: number;
  promptTokens: number;
  /** [layers, heads, N, L] */
  values: Float32Array;
}

/** Layers and heads that take part, counted from 0; all where left out. */
export interface AttentionSelection {
  layers?: readonly number[] | undefined;
  heads?: readonly number[] | undefined;
}

/**
 * Mean or maximum over layers and heads. A maximum takes each cell's own strongest head: its rows no longer sum to 1.
 * @returns [N, L]
 * @throws DermcapError `attention-selection` naming a layer or head that is not there
 */
export function reduceAttention(
  map: AttentionMap,
  how: 'mean' | 'max',
  selection: AttentionSelection = {},
): Float32Array {
  const layers = chosen(selection.layers, map.layers, 'layer');
  const heads = chosen(selection.heads, map.heads, 'head');
  const size = map.tokens * map.positions;
  const sums = new Float64Array(size);
  for (const layer of layers)
    for (const head of heads) {
      const start = (layer * map.heads + head) * size;
      for (let i = 0; i < size; i++) {
        const value = map.values[start + i]!;
        if (how === 'mean') sums[i]! += value;
        else if (value > sums[i]!) sums[i] = value;
      }
    }
  const count = how === 'mean' ? layers.length * heads.length : 1;
  return Float32Array.from(sums, sum => sum / count);
}

function chosen(asked: readonly number[] | undefined, count: number, what: string): readonly number[] {
  const all = Array.from({ length: count }, (_, i) => i);
  if (asked === undefined) return all;
  const unknown = asked.find(index => !all.includes(index));
  if (unknown !== undefined || asked.length === 0)
    throw new DermcapError(
      'attention-selection',
      unknown === undefined
        ? `No ${what} is chosen.`
        : `There is no ${what} ${unknown}: the model has ${count}, counted from 0.`,
    );
  return asked;
}

/** Which part of a row lies on what; adds up to the row's sum. */
export interface AttentionShare {
  prefix: number;
  prompt: number;
  /** Tokens of the text before the one predicted. */
  earlier: number;
}

/**
 * Shares of every row on prefix slots, prompt and earlier tokens.
 * @param rows [rows, L], of any number of layers and heads, or reduced, or a rollout
 */
export function attentionShares(
  rows: Float32Array,
  { positions, prefixSlots, promptTokens }: Pick<AttentionMap, 'positions' | 'prefixSlots' | 'promptTokens'>,
): AttentionShare[] {
  const sum = (start: number, end: number) => {
    let total = 0;
    for (let i = start; i < end; i++) total += rows[i]!;
    return total;
  };
  return Array.from({ length: rows.length / positions }, (_, row) => {
    const start = row * positions;
    const prompt = start + prefixSlots;
    const text = prompt + promptTokens;
    return {
      prefix: sum(start, prompt),
      prompt: sum(prompt, text),
      earlier: sum(text, start + positions),
    };
  });
}

/**
 * Attention rollout: how much of each position's input reaches the rows asked for when every layer is taken to mix
 * half its attention with half its residual (Â = ½A + ½I, rows normalised; Â_layers ⋯ Â_2 Â_1).
 * Source: Abnar & Zuidema, Quantifying Attention Flow in Transformers, ACL 2020.
 * @param means [layers, L, L], attention averaged over heads, first layer first
 * @returns [rows, L], each summing to 1
 */
export function attentionRollout(
  means: Float32Array,
  layers: number,
  positions: number,
  rows: readonly number[],
): Float32Array {
  // From the last layer down, so that only the rows asked for are ever multiplied.
  let flow = rows.map(row => {
    const start = new Float64Array(positions);
    start[row] = 1;
    return start;
  });
  for (let layer = layers - 1; layer >= 0; layer--) {
    const start = layer * positions * positions;
    flow = flow.map(from => {
      const to = new Float64Array(positions);
      for (let i = 0; i < positions; i++) {
        if (from[i] === 0) continue;
        let total = 0;
        for (let j = 0; j < positions; j++) total += means[start + i * positions + j]!;
        const kept = from[i]! / (total + 1); // ½ (A + I), over its sum ½ (total + 1)
        for (let j = 0; j < positions; j++) to[j]! += kept * means[start + i * positions + j]!;
        to[i]! += kept;
      }
      return to;
    });
  }
  const result = new Float32Array(rows.length * positions);
  flow.forEach((row, i) => result.set(row, i * positions));
  return result;
}
