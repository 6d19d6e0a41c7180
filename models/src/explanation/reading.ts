/** One stage read over one text: the graph's inputs, and what its outputs say. */
import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
import { DermcapError } from '../errors.js';
import type { ExplainedModel } from '../graph/explain.js';
import { int64 } from '../runtime/tensors.js';
import { attentionRollout } from './attention.js';
import type { AttentionMap } from './attention.js';

/** Prompt and text as token ids. */
export interface ReadingTokens {
  prompt: readonly number[];
  text: readonly number[];
}

/** One token of the text under one stage. */
export interface RawToken {
  id: number;
  /** In nats, given the image, the prompt and the tokens before it. */
  logProbability: number;
  /** 1 = the likeliest of all tokens. */
  rank: number;
  /** Of the next-token distribution, in nats. */
  entropy: number;
  /** The likeliest tokens in its place, likeliest first. */
  alternatives: { id: number; logProbability: number }[];
}

/** What `readText` finds; what tokens say is for those who know the vocabulary. */
export interface RawReading {
  tokens: RawToken[];
  attention: AttentionMap;
  /** [N, L]: see `attentionRollout` */
  rollout: Float32Array;
  /** [N, C]: the last norm's output at the predicting positions */
  hidden: Tensor;
}

/**
 * One forward pass with attention.
 * @param session over `explainGraph(model)`
 * @param embedding [D], of unit length
 */
export async function readText(
  session: InferenceSession,
  model: ExplainedModel,
  embedding: Float32Array,
  tokens: ReadingTokens,
  topK: number,
): Promise<RawReading> {
  const count = tokens.text.length;
  const { rows, ...feeds } = readingFeeds(model, embedding, tokens, range(0, count));
  const k = Math.min(topK, model.sizes.vocabulary);
  const outputs = await session.run({ ...feeds, rows: int64(rows), topK: int64([k]) });
  const floats = (name: string) => outputs[name]!.data as Float32Array;
  const numbers = (name: string) => Array.from(outputs[name]!.data as BigInt64Array, Number);

  const [layers, heads, , positions] = outputs['attention']!.dims as [number, number, number, number];
  const [ranks, topTokens, best] = [numbers('rank'), numbers('topTokens'), floats('topLogProbability')];
  return {
    tokens: tokens.text.map((id, i) => ({
      id,
      logProbability: floats('logProbability')[i]!,
      rank: ranks[i]!,
      entropy: floats('entropy')[i]!,
      alternatives: range(i * k, k).map(at => ({ id: topTokens[at]!, logProbability: best[at]! })),
    })),
    attention: {
      layers,
      heads,
      tokens: count,
      positions,
      prefixSlots: model.prefixSlots,
      promptTokens: tokens.prompt.length,
      values: floats('attention'),
    },
    rollout: attentionRollout(floats('meanAttention'), layers, positions, rows),
    hidden: outputs['hidden'] as Tensor,
  };
}

/**
 * The log-likelihood of chosen tokens of a text for a batch of images.
 * @param session over `likelihoodGraph(model)`
 * @param embeddings [B, D] row-major, of unit length
 * @param chosen indices among the text's tokens; what comes behind the last of them is not computed
 * @returns per image the sum of their log-probabilities, in nats
 */
export async function textLikelihoods(
  session: InferenceSession,
  model: ExplainedModel,
  embeddings: Float32Array,
  { prompt, text }: ReadingTokens,
  chosen: readonly number[],
): Promise<number[]> {
  const needed = text.slice(0, Math.max(...chosen) + 1);
  const { rows, ...feeds } = readingFeeds(model, embeddings, { prompt, text: needed }, chosen);
  const { logProbability } = await session.run({ ...feeds, rows: int64(rows) });
  const values = logProbability!.data as Float32Array;
  return Array.from({ length: values.length / chosen.length }, (_, image) => {
    let sum = 0;
    for (let i = 0; i < chosen.length; i++) sum += values[image * chosen.length + i]!;
    return sum;
  });
}

/**
 * @param chosen which tokens of the text are looked at
 * @throws DermcapError `text-empty`, `text-too-long` or `tokenizer-mismatch`
 */
export function readingFeeds(
  { sizes, prefixSlots, embedding }: ExplainedModel,
  embeddings: Float32Array,
  { prompt, text }: ReadingTokens,
  chosen: readonly number[],
): { rows: number[]; embedding: Tensor; ids: Tensor; targets: Tensor } {
  if (chosen.length === 0)
    throw new DermcapError('text-empty', 'There is no token to explain: the text is empty.');
  const first = prefixSlots + prompt.length - 1; // the position that predicts the text's first token
  if (first + text.length > sizes.positions)
    throw new DermcapError(
      'text-too-long',
      `${prefixSlots} prefix slots, a prompt of ${prompt.length} tokens and a text of ${text.length} tokens exceed ` +
        `the model's ${sizes.positions} positions.`,
      { hint: 'Shorten the prompt or the text.' },
    );
  const unknown = [...prompt, ...text].find(id => id >= sizes.vocabulary);
  if (unknown !== undefined)
    throw new DermcapError(
      'tokenizer-mismatch',
      `The prompt or the text has a token ${unknown}, but the model has ${sizes.vocabulary} tokens only.`,
      { hint: "Put the model's own tokenizer.json beside the checkpoint." },
    );
  return {
    rows: chosen.map(i => first + i),
    embedding: new Tensor('float32', embeddings, [embeddings.length / embedding, embedding]),
    ids: int64([...prompt, ...text.slice(0, -1)]),
    targets: int64(chosen.map(i => text[i]!)),
  };
}

function range(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}
