/**
 * How faithful one precision is to another, on images: each captions them, and each scores the first one's captions
 * with their own tokens given, so that a caption that took another turn does not count at every token behind it.
 */
import type { StageId } from './architecture/release.js';
import type { Captioner, CaptionRequest, ImageInput, TokenScores } from './captioner.js';
import { DermcapError } from './errors.js';
import type { InputSpec } from './image/preprocess.js';
import type { Precision } from './runtime/loading.js';

/** What one precision makes of an image under one stage. */
export interface Observation {
  image: string;
  stage: StageId;
  caption: string;
  /** Without the end-of-text token. */
  tokens: readonly number[];
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
  exactScores: TokenScores;
  fastScores: TokenScores;
}

/** An image to measure on. */
export interface FidelityImage {
  name: string;
  /** Reads and preprocesses it for each of a captioner's inputs; called once per precision. */
  load: (inputs: readonly InputSpec[]) => Promise<ImageInput>;
}

export interface FidelityOptions {
  request?: CaptionRequest;
  /** Images captioned together. */
  batchSize?: number;
  onProgress?: (phase: string) => void;
}

const DEFAULT_BATCH_SIZE = 4;

/**
 * Measures on images how faithful `fast` is to `exact`. One captioner is open at a time.
 * @param open opens the same stages in a precision
 * @returns the figures, and which images could not be read
 * @throws whatever a captioner throws
 */
export async function measureFidelity(
  open: (precision: Precision) => Promise<Captioner>,
  images: readonly FidelityImage[],
  options: FidelityOptions = {},
): Promise<Fidelity & { failed: { image: string; error: DermcapError }[] }> {
  const exact = await observe(open, 'exact', images, options);
  const readable = images.filter(({ name }) => !exact.failed.some(({ image }) => image === name));
  const fast = await observe(open, 'fast', readable, options, exact.observations);
  const pairs = exact.observations.map((observation, i) => ({
    exact: observation,
    fast: fast.observations[i]!,
    exactScores: exact.scores[i]!,
    fastScores: fast.scores[i]!,
  }));
  return { ...compareObservations(pairs), failed: exact.failed };
}

/** @param given whose captions are scored, instead of those made here; in the same order */
async function observe(
  open: (precision: Precision) => Promise<Captioner>,
  precision: Precision,
  images: readonly FidelityImage[],
  { request = {}, batchSize = DEFAULT_BATCH_SIZE, onProgress = () => {} }: FidelityOptions,
  given?: readonly Observation[],
) {
  const observations: Observation[] = [];
  const scores: TokenScores[] = [];
  const failed: { image: string; error: DermcapError }[] = [];
  const captioner = await open(precision);
  try {
    for (let start = 0; start < images.length; start += batchSize) {
      onProgress(`Captioning, ${precision}: ${start} of ${images.length} images`);
      const batch: { name: string; input: ImageInput }[] = [];
      for (const { name, load } of images.slice(start, start + batchSize)) {
        try {
          batch.push({ name, input: await load(captioner.inputs) });
        } catch (error) {
          // What could be read a moment ago and cannot now is no image to leave out in silence.
          if (given || !(error instanceof DermcapError)) throw error;
          failed.push({ image: name, error });
        }
      }
      const features = await captioner.features(batch.map(({ input }) => input));
      const inputs = features.map(towers => ({ features: towers }));
      const captions = await captioner.caption(inputs, request);
      for (const [i, { name: image }] of batch.entries())
        for (const [stage, { stage: id, caption, tokens }] of captions[i]!.entries()) {
          const text = given ? given[observations.length]!.tokens : tokens;
          observations.push({ image, stage: id, caption, tokens });
          scores.push(
            text.length === 0
              ? { logProbabilities: [], likeliest: [] }
              : await captioner.score(inputs[i]!, stage, text, request.prompt),
          );
        }
    }
  } finally {
    await captioner.close();
  }
  return { observations, scores, failed };
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
