import { DermcapError } from './errors.js';
import type { Tokenizer } from './text/tokenizer.js';

/**
 * Decoding options, under their Hugging Face meaning where transformers has them. One beam is greedy search, or
 * sampling with `doSample`.
 */
export interface Decoding {
  /**
   * How beams are compared: as `generate` of transformers does, or as ClipCap's `generate_beam` does (by their mean
   * log-probability; ended ones stay among the beams; `lengthPenalty` and `earlyStopping` say nothing there).
   */
  algorithm: 'transformers' | 'clipcap';
  numBeams: number;
  maxNewTokens: number;
  minNewTokens: number;
  /** 0 switches n-gram blocking off. */
  noRepeatNgramSize: number;
  repetitionPenalty: number;
  lengthPenalty: number;
  earlyStopping: boolean;
  /** Phrases that may not be generated; encoded without a leading space, as the reference does. */
  badWords: readonly string[];
  /** The one token that ends a caption, as text, and stays in it; null: end-of-text, which does not. */
  stopText: string | null;
  /** Draws each token instead of taking the likeliest. Needs one beam. */
  doSample: boolean;
  temperature: number;
  /** 0: off. */
  topK: number;
  /** 1: off. */
  topP: number;
  /** A caption drawn is a function of the seed, the image, the checkpoint and these options. */
  seed: number;
}

/** The reference's default decoding; those of sampling are transformers'. */
export const DEFAULT_DECODING: Decoding = {
  algorithm: 'transformers',
  numBeams: 4,
  maxNewTokens: 60,
  minNewTokens: 24,
  noRepeatNgramSize: 4,
  repetitionPenalty: 1.15,
  lengthPenalty: 0.6,
  earlyStopping: true,
  badWords: [],
  stopText: null,
  doSample: false,
  temperature: 1,
  topK: 50,
  topP: 1,
  seed: 0,
};

/**
 * ClipCap's decoding (rmokady/CLIP_prefix_caption, predict.py): `generate_beam` as it stands, `generate2` (which takes
 * the likeliest token in spite of its top-p) with one beam.
 */
export const CLIPCAP_DECODING: Decoding = {
  ...DEFAULT_DECODING,
  algorithm: 'clipcap',
  numBeams: 5,
  maxNewTokens: 67,
  minNewTokens: 0,
  noRepeatNgramSize: 0,
  repetitionPenalty: 1,
  stopText: '.',
};

/**
 * The options with what was not said: ClipCap's own defaults for its algorithm, one beam for sampling.
 * @throws DermcapError `decoding-invalid` naming the option
 */
export function withDefaults(options: Partial<Decoding>): Decoding {
  const defaults = options.algorithm === 'clipcap' ? CLIPCAP_DECODING : DEFAULT_DECODING;
  const decoding: Decoding = { ...defaults, ...(options.doSample ? { numBeams: 1 } : {}), ...options };
  const refuse = (message: string): never => {
    throw new DermcapError('decoding-invalid', message);
  };
  const whole = (name: keyof Decoding, least: number) => {
    const value = decoding[name] as number;
    if (!Number.isSafeInteger(value) || value < least)
      refuse(`${name} is ${value}; it must be a whole number ≥ ${least}.`);
  };
  const within = (name: keyof Decoding, wanted: string, isGood: (value: number) => boolean) => {
    const value = decoding[name] as number;
    if (!Number.isFinite(value) || !isGood(value)) refuse(`${name} is ${value}; it must be ${wanted}.`);
  };
  whole('numBeams', 1);
  whole('maxNewTokens', 1);
  whole('minNewTokens', 0);
  whole('noRepeatNgramSize', 0);
  whole('topK', 0);
  whole('seed', 0);
  within('repetitionPenalty', '> 0', value => value > 0);
  within('lengthPenalty', 'a number', () => true);
  within('temperature', '> 0', value => value > 0);
  within('topP', '> 0 and ≤ 1', value => value > 0 && value <= 1);
  if (decoding.doSample && decoding.numBeams > 1)
    refuse(`doSample draws with one beam, but numBeams is ${decoding.numBeams}: choose one of the two.`);
  return decoding;
}

/**
 * The token that ends a caption.
 * @throws DermcapError `decoding-invalid` when `stopText` is not one token
 */
export function stopTokenOf(
  { stopText }: Decoding,
  tokenizer: Pick<Tokenizer, 'encode'>,
  endOfText: number,
): number {
  if (stopText === null) return endOfText;
  const ids = tokenizer.encode(stopText);
  if (ids.length !== 1)
    throw new DermcapError(
      'decoding-invalid',
      `stopText “${stopText}” is ${ids.length} tokens of this model; it must be one.`,
    );
  return ids[0]!;
}
