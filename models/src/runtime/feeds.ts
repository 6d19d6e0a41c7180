/**
 * The caption graph's inputs for one call: prompts laid out behind the prefix, masks, decoding options.
 */
import { Tensor } from 'onnxruntime-node';
import type { Decoding } from '../decoding.js';
import { DermcapError } from '../errors.js';
import type { CaptionModel } from '../graph/lanes.js';
import { uniforms } from './draws.js';
import type { Stream } from './draws.js';
import { layoutFeeds } from './layout.js';
import { bool, float32, int64 } from './tensors.js';

/** Decoding options with texts already as token ids. */
export interface DecodingIds extends Omit<Decoding, 'badWords' | 'stopText' | 'seed'> {
  badWords: readonly (readonly number[])[];
  /** The token that ends a caption. */
  stopToken: number;
  /** With `doSample`: where each row's numbers come from, rows by image, then stage. */
  streams: readonly Stream[];
}

/**
 * @param features per tower: [B, D] row-major, not normalised
 * @param prompts token ids per stage
 * @throws DermcapError `prompt-too-long` when prefix + prompt + new tokens exceed the model's positions,
 *   `tokenizer-mismatch` when the prompt has tokens that the model has not
 */
export function captionFeeds(
  model: CaptionModel,
  features: ReadonlyMap<number, Float32Array>,
  prompts: readonly (readonly number[])[],
  decoding: DecodingIds,
): Record<string, Tensor> {
  const { sizes, prefixes, stages } = model;
  prompts.forEach((prompt, s) => {
    const { slots } = prefixes[stages[s]!.prefix]!;
    // The last token is never fed back.
    if (slots + prompt.length + decoding.maxNewTokens - 1 > sizes.positions)
      throw new DermcapError(
        'prompt-too-long',
        `${slots} prefix slots, a prompt of ${prompt.length} tokens and ${decoding.maxNewTokens} new tokens ` +
          `exceed the model's ${sizes.positions} positions.`,
        { hint: 'Shorten the prompt or lower the maximum of new tokens.' },
      );
  });
  const unknown = prompts.flat().find(id => id >= sizes.vocabulary);
  if (unknown !== undefined)
    throw new DermcapError(
      'tokenizer-mismatch',
      `The prompt has a token ${unknown}, but the model has ${sizes.vocabulary} tokens only.`,
      { hint: "Put the model's own tokenizer.json beside the checkpoint." },
    );
  const feeds: Record<string, Tensor> = {};
  for (const { tower, embedding } of prefixes) {
    const values = features.get(tower)!;
    feeds[`features_${tower}`] = new Tensor('float32', values, [values.length / embedding, embedding]);
  }
  return { ...feeds, ...layoutFeeds(model, prompts, decoding.numBeams), ...options(decoding, sizes) };
}

function options(decoding: DecodingIds, sizes: CaptionModel['sizes']): Record<string, Tensor> {
  const { numBeams, maxNewTokens, noRepeatNgramSize, repetitionPenalty, stopToken, doSample } = decoding;
  const isGreedy = numBeams === 1;
  // transformers drops a bad phrase that is the token which ends a caption.
  const phrases = decoding.badWords.filter(
    ids => ids.length > 0 && !(ids.length === 1 && ids[0] === stopToken),
  );
  const contextLength = Math.max(1, ...phrases.map(ids => ids.length - 1));
  const contexts = phrases.map(ids => [
    ...Array<number>(contextLength - ids.length + 1).fill(-2),
    ...ids.slice(0, -1),
  ]);
  const last = phrases.map(ids => ids.at(-1)!);
  if (phrases.length === 0) {
    contexts.push(Array<number>(contextLength).fill(-2));
    last.push(-1); // no token: never matches
  }
  // Processors lower the scores of generated tokens (at most maxNewTokens of them), of bad phrases' last tokens
  // and of the stop token: so many candidates beyond those that are kept can be pushed out, and no more.
  // A repetition penalty below 1 raises scores instead: then every token is a candidate.
  const touched = maxNewTokens + new Set(last).size + 1;
  const kept = Math.max(2 * numBeams, doSample ? decoding.topK : 0);
  const needsAll = repetitionPenalty < 1 || (doSample && decoding.topK === 0);
  const candidates = needsAll ? sizes.vocabulary : Math.min(sizes.vocabulary, kept + touched);
  const draws = doSample ? decoding.streams.map(stream => uniforms(stream, maxNewTokens)) : [[0]];
  return {
    beams: int64([numBeams]),
    startScores: float32(
      Array.from({ length: numBeams }, (_, beam) => (beam === 0 ? 0 : -1e9)),
      [1, numBeams],
    ),
    candidates: int64([candidates]),
    repetitionPenalty: float32([repetitionPenalty], []),
    ngramContext: int64([Math.max(0, noRepeatNgramSize - 1)]),
    ngramOn: bool(noRepeatNgramSize > 0),
    badContexts: int64(contexts.flat(), [contexts.length, contextLength]),
    badTokens: int64(last),
    minNewTokens: int64([decoding.minNewTokens]),
    maxNewTokens: int64([maxNewTokens]),
    lengthPenalties: float32(
      Array.from({ length: maxNewTokens + 2 }, (_, length) => length ** decoding.lengthPenalty),
      [maxNewTokens + 2],
    ),
    earlyStopping: bool(isGreedy || decoding.earlyStopping),
    accumulate: bool(!isGreedy),
    clipcap: bool(!isGreedy && decoding.algorithm === 'clipcap'),
    stopToken: int64([stopToken], []),
    sample: bool(doSample),
    temperature: float32([decoding.temperature], []),
    topK: int64([decoding.topK === 0 ? candidates : Math.min(decoding.topK, candidates)]),
    tailMass: new Tensor('float64', Float64Array.of(1 - decoding.topP), []),
    draws: new Tensor('float64', Float64Array.from(draws.flat()), [draws.length, draws[0]!.length]),
  };
}
