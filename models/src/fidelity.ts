/**
 * How faithful one precision is to another, on images: each captions them, and each scores the first one's captions
 * with their own tokens given, so that a caption that took another turn does not count at every token behind it.
 */
import type { StageId } from './architecture/release.js';

/** What one precision makes of an image under one stage. */
export interface Observation {
  image: string;
  stage: StageId;
  caption: string;
  /** Without the end-of-text token. */
  tokens: readonly number[];
}

/** A given text under one stage: of each of its tokens the log-probability, in nats, and the likeliest in its place. */
export interface Scores {
  logProbabilities: readonly number[];
  likeliest: readonly number[];
}

export interface FidelityFigures {
  captions: number;
  identicalCaptions: number;
  /** Share of captions whose tokens are the same. */
  identicalShare: number;
  /** Tokens of the exact captions, at each of which both precisions were asked for the likeliest. */
  tokens: number;
  /** Share of these at which both name the same. */
  argmaxAgreement: number;
  /** |log p(fast) − log p(exact)| of these tokens, in nats. */
  logProbabilityError: { mean: number; p99: number; max: number };
}

export interface Fidelity {
  stages: ({ stage: StageId } & FidelityFigures)[];
  overall: FidelityFigures;
  /** Captions that are not the same. */
  different: { image: string; stage: StageId; exact: string; fast: string }[];
}

/** One image and stage in both precisions; `scores` are of the exact caption's tokens. */
export interface ObservedPair {
  exact: Observation;
  fast: Observation;
  exactScores: Scores;
  fastScores: Scores;
}

/** Sums observations up, per stage (in order of appearance) and over all. */
export function compareObservations(pairs: readonly ObservedPair[]): Fidelity {
  const stages = [...new Set(pairs.map(({ exact }) => exact.stage))];
  return {
    stages: stages.map(stage => ({ stage, ...figures(pairs.filter(({ exact }) => exact.stage === stage)) })),
    overall: figures(pairs),
    different: pairs
      .filter(pair => !isIdentical(pair))
      .map(({ exact: { image, stage, caption }, fast }) => ({
        image,
        stage,
        exact: caption,
        fast: fast.caption,
      })),
  };
}

function figures(pairs: readonly ObservedPair[]): FidelityFigures {
  const identicalCaptions = pairs.filter(isIdentical).length;
  const agreeing = pairs.flatMap(({ exactScores, fastScores }) =>
    exactScores.likeliest.map((token, i) => token === fastScores.likeliest[i]),
  );
  const errors = pairs
    .flatMap(({ exactScores, fastScores }) =>
      exactScores.logProbabilities.map((value, i) => Math.abs(value - fastScores.logProbabilities[i]!)),
    )
    .sort((a, b) => a - b);
  return {
    captions: pairs.length,
    identicalCaptions,
    identicalShare: identicalCaptions / pairs.length,
    tokens: agreeing.length,
    argmaxAgreement: agreeing.filter(Boolean).length / agreeing.length,
    logProbabilityError: {
      mean: errors.reduce((sum, error) => sum + error, 0) / errors.length,
      // Nearest rank: the smallest error that 99 of 100 do not exceed.
      p99: errors[Math.ceil(0.99 * errors.length) - 1] ?? NaN,
      max: errors.at(-1) ?? NaN,
    },
  };
}

function isIdentical({ exact, fast }: ObservedPair): boolean {
  return exact.tokens.length === fast.tokens.length && exact.tokens.every((id, i) => id === fast.tokens[i]);
}
