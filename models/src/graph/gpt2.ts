/**
 * One pass of GPT-2's blocks over new positions, with keys and values kept in two pools per block: a frozen
 * one and a growing one. Nothing is ever reordered: which slots a position may see is an additive mask.
 */
import type { Graph, Value, Weight } from './builder.js';
import { layerNorm } from './encoder.js';
import { conv1d } from './linear.js';
import type { Gpt2Block, LayerNorm } from './weights.js';

const EPSILON = 1e-5;

/** Keys and values of one block: [B, H, slots, C/H]. */
export interface KeyValue {
  key: Value;
  value: Value;
}

/** What a block needs beside its input: the mask [1|B, 1, L, slots + L] and the pools. */
export interface AttentionContext {
  mask: Value;
  /** [frozen slots, growing slots]: where the attention weights split. */
  split: Value;
  frozen: KeyValue;
  growing: KeyValue;
}

/** A residual stream whose last addition is still to be done: rows may be dropped before it. */
export interface Residual {
  stream: Value;
  /** Output of the last sub-layer, not yet added; its bias. Absent before the first block. */
  pending?: { value: Value; bias: Weight };
}

/** The stream with what is pending added. */
export function settled(g: Graph, { stream, pending }: Residual): Value {
  return pending ? g.add(g.add(pending.value, g.weight(pending.bias)), stream) : stream;
}

/**
 * Adds what is pending, normalises: (norm(stream), stream). Three plain nodes: onnxruntime's SkipLayerNormalization
 * takes four times as long on a CPU (decision 006).
 */
export function normalise(g: Graph, x: Residual, norm: LayerNorm): { normed: Value; stream: Value } {
  const stream = settled(g, x);
  return { normed: layerNorm(g, stream, norm, EPSILON), stream };
}

/**
 * One GPT-2 block over L new positions.
 * @param x residual stream [B, L, C]
 * @returns the stream after the block, and the growing pool with the new slots behind it
 */
export function gpt2Block(
  g: Graph,
  x: Residual,
  block: Gpt2Block,
  heads: number,
  width: number,
  context: AttentionContext,
): { x: Residual; growing: KeyValue } {
  const { qkv, out } = block.attention;
  const first = normalise(g, x, block.ln1);
  const projected = g.add(conv1d(g, first.normed, qkv.weight), g.weight(qkv.bias)); // [B, L, 3C]
  const { attended, growing } = attention(g, projected, heads, width, context);
  const afterAttention: Residual = {
    stream: first.stream,
    pending: { value: conv1d(g, attended, out.weight), bias: out.bias },
  };
  const second = normalise(g, afterAttention, block.ln2);
  const { up, down } = block.mlp;
  const hidden = g.microsoft('FastGelu', [conv1d(g, second.normed, up.weight), g.weight(up.bias)]); // [B, L, 4C], GELU with tanh ("gelu_new")
  return {
    x: {
      stream: second.stream,
      pending: { value: conv1d(g, hidden, down.weight), bias: down.bias },
    },
    growing,
  };
}

/** softmax(q kᵀ / √d + mask) v over both pools. projected: [B, L, 3C] */
function attention(
  g: Graph,
  projected: Value,
  heads: number,
  width: number,
  { mask, split, frozen, growing }: AttentionContext,
): { attended: Value; growing: KeyValue } {
  const headSize = width / heads;
  const perHead = g.transpose(g.reshape(projected, [0, 0, 3 * heads, headSize]), [0, 2, 1, 3]); // [B, 3H, L, d]
  const [q, k, v] = g.ops('Split', [perHead], 3, { axis: { i: 1 }, num_outputs: { i: 3 } }); // each [B, H, L, d]
  const key = g.concat([growing.key, k!], 2);
  const value = g.concat([growing.value, v!], 2);

  const scale = 1 / Math.sqrt(headSize);
  const scores = g.concat([g.matmulTransposed(q!, frozen.key, scale), g.matmulTransposed(q!, key, scale)], 3); // [B, H, L, slots]
  const weights = g.op('Softmax', [g.add(scores, mask)], { axis: { i: -1 } });
  const [onFrozen, onGrowing] = g.ops('Split', [weights, split], 2, { axis: { i: 3 } });
  const attended = g.add(g.matmul(onFrozen!, frozen.value), g.matmul(onGrowing!, value)); // [B, H, L, d]
  return {
    attended: g.reshape(g.transpose(attended, [0, 2, 1, 3]), [0, 0, width]),
    growing: { key, value },
  };
}
