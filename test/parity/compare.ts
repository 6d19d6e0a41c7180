import { DEFAULT_DECODING, loadPixels } from '@dermcap/models';
import type { Captioner } from '@dermcap/models';
import { expect } from 'vitest';
import { imagePath } from './goldens.js';
import type { GoldenCase } from './goldens.js';

const TOLERANCE = 1e-4;
/** Sums of sixty log-probabilities reach -100 and more, where an fp32 addition rounds by 4e-6. */
const RELATIVE_TOLERANCE = 1e-6;

/** What was compared so far. */
export interface Tally {
  captions: number;
  identical: number;
  /** Largest difference of scores. */
  score: number;
}

export const newTally = (): Tally => ({ captions: 0, identical: 0, score: 0 });

/** Captions a golden's images: tokens and texts must be equal, scores nearly. */
export async function compareCaptions(opened: Captioner, golden: GoldenCase, tally: Tally): Promise<void> {
  const pixels = await Promise.all(
    golden.images.map(image =>
      loadPixels(imagePath(image), 'train-centre', opened.inputs[0]!, { autoOrient: false }),
    ),
  );
  tally.captions += golden.captions.flat().length;
  const captions = await opened.caption(pixels, {
    decoding: golden.decoding,
    ...(golden.prompt === null ? {} : { prompt: golden.prompt }),
  });
  const expected = golden.captions.flat();
  const actual = captions.flat();
  tally.identical += actual.filter((c, i) => String(c.tokens) === String(expected[i]!.tokens)).length;
  expect(captions.map(row => row.map(c => c.tokens))).toEqual(
    golden.captions.map(row => row.map(c => c.tokens)),
  );
  expect(actual.map(c => c.caption)).toEqual(expected.map(c => c.caption));
  expect(captions.map(row => row.map(c => c.stage))).toEqual(golden.images.map(() => golden.stages));
  const lengthPenalty = golden.decoding.lengthPenalty ?? DEFAULT_DECODING.lengthPenalty;
  actual.forEach(({ score, tokens }, i) => {
    const reference = expected[i]!.score;
    if (reference === null) return expect(score).toBeNull();
    // A negative length penalty multiplies the sum of log-probabilities, and its rounding, by a power of the length.
    const factor = Math.max(1, (tokens.length + 1) ** -lengthPenalty);
    const difference = Math.abs(score! - reference) / factor;
    tally.score = Math.max(tally.score, difference);
    expect(difference).toBeLessThan(TOLERANCE + RELATIVE_TOLERANCE * Math.abs(reference / factor));
  });
}
