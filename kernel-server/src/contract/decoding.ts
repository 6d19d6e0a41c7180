/** Decoding options: `Decoding` of `@dermcap/models`, which says what each means. */
import { z } from 'zod';

const FIELDS = {
  algorithm: z.enum(['transformers', 'clipcap']),
  numBeams: z.int().min(1).max(16),
  maxNewTokens: z.int().min(1).max(960),
  minNewTokens: z.int().min(0).max(960),
  noRepeatNgramSize: z.int().min(0).max(64),
  repetitionPenalty: z.number().positive().max(100),
  lengthPenalty: z.number().min(-10).max(10),
  earlyStopping: z.boolean(),
  badWords: z.array(z.string().min(1)).max(1000),
  stopText: z.string().min(1).max(100).nullable(),
  doSample: z.boolean(),
  temperature: z.number().min(0.01).max(100),
  topK: z.int().min(0).max(1_000_000),
  topP: z.number().positive().max(1),
  seed: z.int().min(0),
};

/** What a request says of decoding; {@link completeDecoding} gives the rest. */
export const DecodingOptions = z
  .object(FIELDS)
  .partial()
  .refine(({ doSample, numBeams }) => !doSample || (numBeams ?? 1) === 1, {
    path: ['numBeams'],
    message: 'sampling draws with one beam',
  });
export type DecodingOptions = z.infer<typeof DecodingOptions>;

/** All options, as they are kept with a caption. What an older caption does not name was not there to be set. */
export const Decoding = z.object({
  algorithm: FIELDS.algorithm.default('transformers'),
  numBeams: FIELDS.numBeams.default(4),
  maxNewTokens: FIELDS.maxNewTokens.default(60),
  minNewTokens: FIELDS.minNewTokens.default(24),
  noRepeatNgramSize: FIELDS.noRepeatNgramSize.default(4),
  repetitionPenalty: FIELDS.repetitionPenalty.default(1.15),
  lengthPenalty: FIELDS.lengthPenalty.default(0.6),
  earlyStopping: FIELDS.earlyStopping.default(true),
  badWords: FIELDS.badWords.default([]),
  stopText: FIELDS.stopText.default(null),
  doSample: FIELDS.doSample.default(false),
  temperature: FIELDS.temperature.default(1),
  topK: FIELDS.topK.default(50),
  topP: FIELDS.topP.default(1),
  seed: FIELDS.seed.default(0),
});
export type Decoding = z.infer<typeof Decoding>;

const CLIPCAP = {
  numBeams: 5,
  maxNewTokens: 67,
  minNewTokens: 0,
  noRepeatNgramSize: 0,
  repetitionPenalty: 1,
  stopText: '.',
} satisfies DecodingOptions;

/** The options with the reference's defaults; with those of ClipCap for its algorithm, and with one beam for sampling. */
export function completeDecoding(options: DecodingOptions): Decoding {
  const said = Object.entries(options).filter(([, value]) => value !== undefined);
  return Decoding.parse({
    ...(options.algorithm === 'clipcap' ? CLIPCAP : {}),
    ...(options.doSample ? { numBeams: 1 } : {}),
    ...Object.fromEntries(said),
  });
}
