/** What `dermcap explain --json` writes: explanations with numbers rounded and arrays nested, as README.md describes. */
import { attentionShares, groupWords, reduceAttention } from '@dermcap/models';
import type {
  AttentionMap,
  Divergence,
  Explainer,
  Explanation,
  Reading,
  Saliency,
  TokenReading,
  VisionRollout,
} from '@dermcap/models';

export type AttentionDetail = 'full' | 'mean' | 'none';

/** A text and what was found about it. */
export interface ExplainedText {
  /** Index of the stage that wrote it; null for one that was given. */
  writtenBy: number | null;
  explanation: Explanation;
  saliency: Saliency[];
}

export type ExplainReport = ReturnType<typeof explainReport>;

/** @param image as it was named */
export function explainReport(
  image: string,
  releaseName: string,
  preprocess: string,
  explainer: Explainer,
  vision: VisionRollout,
  texts: readonly ExplainedText[],
  detail: AttentionDetail,
) {
  const idOf = (stage: number) => explainer.stages[stage]!.id;
  return {
    image,
    release: releaseName,
    preprocess,
    provider: explainer.provider.name,
    stages: explainer.stages.map(({ id, label, file, prompt }) => ({ id, label, file, prompt })),
    vision: {
      method: 'attention rollout of the vision tower',
      grid: vision.grid,
      rollout: rows(vision.values, vision.grid),
      classToken: vision.classToken === null ? null : round(vision.classToken, PLACES),
    },
    texts: texts.map(({ writtenBy, explanation, saliency }) => {
      const { tokens } = explanation.readings[0]!;
      return {
        text: tokens.map(token => token.text).join(''),
        writtenBy: writtenBy === null ? null : idOf(writtenBy),
        words: groupWords(tokens.map(token => token.text)),
        readings: explanation.readings.map(reading => readingReport(reading, idOf, detail)),
        divergences: explanation.divergences.map(divergence => divergenceReport(divergence, idOf)),
        saliency: saliency.map(({ stage, method, measure, grid, values, tokens: chosen, ...map }) => ({
          stage: idOf(stage),
          method,
          measure,
          tokens: chosen,
          logLikelihood: round(map.logLikelihood, PLACES),
          images: map.images,
          grid,
          values: rows(values, grid),
        })),
      };
    }),
  };
}

/** Decimal places: an attention of 1e-6 is no attention, a log-probability is good to 1e-5. */
const PLACES = 5;

function readingReport(reading: Reading, idOf: (stage: number) => string, detail: AttentionDetail) {
  const { attention, tokens } = reading;
  return {
    stage: idOf(reading.stage),
    prompt: reading.prompt,
    promptTokens: reading.promptTokens,
    prefixSlots: attention.prefixSlots,
    logLikelihood: round(reading.logLikelihood, PLACES),
    meanLogProbability: round(reading.logLikelihood / tokens.length, PLACES),
    tokens: tokens.map(tokenReport),
    shares: attentionShares(reduceAttention(attention, 'mean'), attention).map(share => ({
      prefix: round(share.prefix, PLACES),
      prompt: round(share.prompt, PLACES),
      earlier: round(share.earlier, PLACES),
    })),
    ...(detail === 'none' ? {} : { attention: attentionReport(attention, detail) }),
    ...(detail === 'none' ? {} : { rollout: rows(reading.rollout, attention.positions) }),
  };
}

function tokenReport({ id, text, logProbability, rank, entropy, alternatives }: TokenReading) {
  return {
    id,
    text,
    logProbability: round(logProbability, PLACES),
    rank,
    entropy: round(entropy, PLACES),
    alternatives: alternatives.map(other => ({
      id: other.id,
      text: other.text,
      logProbability: round(other.logProbability, PLACES),
    })),
  };
}

function attentionReport(map: AttentionMap, detail: AttentionDetail) {
  const { layers, heads, tokens, positions, values } = map;
  const size = tokens * positions;
  const head = (layer: number, h: number) => {
    const start = (layer * heads + h) * size;
    return rows(values.subarray(start, start + size), positions);
  };
  const count = (n: number) => Array.from({ length: n }, (_, i) => i);
  return {
    layers,
    heads,
    mean: rows(reduceAttention(map, 'mean'), positions),
    max: rows(reduceAttention(map, 'max'), positions),
    ...(detail === 'full' ? { full: count(layers).map(layer => count(heads).map(h => head(layer, h))) } : {}),
  };
}

function divergenceReport(
  { stages, forward, backward, jensenShannon }: Divergence,
  idOf: (stage: number) => string,
) {
  const rounded = (values: Float32Array) => Array.from(values, value => round(value, PLACES));
  return {
    stages: stages.map(idOf),
    forward: rounded(forward),
    backward: rounded(backward),
    jensenShannon: rounded(jensenShannon),
  };
}

function rows(values: Float32Array, width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, row) =>
    Array.from(values.subarray(row * width, (row + 1) * width), value => round(value, PLACES)),
  );
}

function round(value: number, places: number): number {
  return Math.round(value * 10 ** places) / 10 ** places;
}
