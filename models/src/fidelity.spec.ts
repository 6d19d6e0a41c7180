import { describe, expect, it } from 'vitest';
import { compareObservations } from './fidelity.js';
import type { ObservedPair } from './fidelity.js';

/** A caption of these tokens; fast's own tokens, its likeliest ones and its errors in log-probability. */
function pair(
  stage: 'a' | 'b',
  tokens: number[],
  fast: { tokens?: number[]; likeliest?: number[]; errors?: number[] } = {},
): ObservedPair {
  const logProbabilities = tokens.map((_, i) => -1 - i);
  const fastTokens = fast.tokens ?? tokens;
  return {
    exact: { image: 'x.png', stage, tokens, caption: tokens.join(' ') },
    fast: { image: 'x.png', stage, tokens: fastTokens, caption: fastTokens.join(' ') },
    exactScores: { logProbabilities, likeliest: tokens },
    fastScores: {
      logProbabilities: logProbabilities.map((value, i) => value + (fast.errors?.[i] ?? 0)),
      likeliest: fast.likeliest ?? tokens,
    },
  };
}

describe('comparing precisions', () => {
  it('counts equal captions and equal choices, per stage and over all', () => {
    const result = compareObservations([
      pair('a', [1, 2, 3, 4], { tokens: [1, 2, 9], likeliest: [1, 2, 9, 4] }),
      pair('b', [5, 6]),
      pair('a', [7, 8]),
    ]);
    expect(
      result.stages.map(({ stage, captions, identicalShare, tokens, argmaxAgreement }) => [
        stage,
        captions,
        identicalShare,
        tokens,
        argmaxAgreement,
      ]),
    ).toEqual([
      ['a', 2, 1 / 2, 6, 5 / 6],
      ['b', 1, 1, 2, 1],
    ]);
    expect(result.overall).toMatchObject({
      captions: 3,
      identicalCaptions: 2,
      tokens: 8,
      argmaxAgreement: 7 / 8,
    });
    expect(result.different).toEqual([{ image: 'x.png', stage: 'a', exact: '1 2 3 4', fast: '1 2 9' }]);
  });

  it('takes a caption that only goes on longer for another one', () => {
    expect(compareObservations([pair('a', [1, 2], { tokens: [1, 2, 3] })]).overall.identicalShare).toBe(0);
  });

  it('gives mean, 99th percentile by nearest rank, and maximum of absolute errors', () => {
    const tokens = Array.from({ length: 200 }, (_, i) => i);
    const errors = tokens.map(i => (i % 2 === 0 ? i + 1 : -(i + 1)) / 100);
    const { mean, p99, max } = compareObservations([pair('a', tokens, { errors })]).overall
      .logProbabilityError;
    expect(mean).toBeCloseTo(1.005, 10);
    expect(p99).toBeCloseTo(1.98, 10);
    expect(max).toBeCloseTo(2, 10);
  });
});
