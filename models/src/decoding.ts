import { DermcapError } from './errors.js';

/** Decoding options under their Hugging Face meaning. `numBeams: 1` is greedy. */
export interface Decoding {
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
}

/** The reference's default decoding. */
export const DEFAULT_DECODING: Decoding = {
  numBeams: 4,
  maxNewTokens: 60,
  minNewTokens: 24,
  noRepeatNgramSize: 4,
  repetitionPenalty: 1.15,
  lengthPenalty: 0.6,
  earlyStopping: true,
  badWords: [],
};

/** @throws DermcapError `decoding-invalid` naming the option */
export function withDefaults(options: Partial<Decoding>): Decoding {
  const decoding = { ...DEFAULT_DECODING, ...options };
  const whole = (name: keyof Decoding, least: number) => {
    const value = decoding[name] as number;
    if (!Number.isInteger(value) || value < least)
      throw new DermcapError(
        'decoding-invalid',
        `${name} is ${value}; it must be a whole number ≥ ${least}.`,
      );
  };
  whole('numBeams', 1);
  whole('maxNewTokens', 1);
  whole('minNewTokens', 0);
  whole('noRepeatNgramSize', 0);
  if (!(decoding.repetitionPenalty > 0))
    throw new DermcapError(
      'decoding-invalid',
      `repetitionPenalty is ${decoding.repetitionPenalty}; it must be > 0.`,
    );
  if (!Number.isFinite(decoding.lengthPenalty))
    throw new DermcapError(
      'decoding-invalid',
      `lengthPenalty is ${decoding.lengthPenalty}; it must be a number.`,
    );
  return decoding;
}
