/** Captions, what they are made with, and how errors look. */
import { z } from 'zod';
import { Decoding } from './decoding.js';

export const StageId = z.enum(['a', 'b', 'final']);
export type StageId = z.infer<typeof StageId>;

export const PreprocessMode = z.enum(['train-centre', 'openclip-eval']);
export type PreprocessMode = z.infer<typeof PreprocessMode>;

/** `own` gives each stage the prompt it was trained with; `text` gives every stage the same one. */
export const PromptChoice = z.discriminatedUnion('mode', [
  z.object({ mode: z.literal('own') }),
  z.object({ mode: z.literal('text'), text: z.string().max(4000) }),
]);
export type PromptChoice = z.infer<typeof PromptChoice>;

export const ApiError = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  /** More for a program: for an invalid request, what is wrong with which field. */
  details: z.unknown().optional(),
});
export type ApiError = z.infer<typeof ApiError>;
/** Body of every response outside 2xx. */
export const ErrorBody = z.object({ error: ApiError });

/** The release and the checkpoint that a caption comes from. */
export const CaptionSource = z.object({ name: z.string(), sha256: z.string() });

/** One caption of one image by one stage, with everything that made it. */
export const Caption = z.object({
  image: z.string(),
  stage: StageId,
  caption: z.string(),
  /** Generated token ids without the end-of-text token; a token of the decoding's own that ends a caption is in it. */
  tokens: z.array(z.int()),
  /** Length-normalised sum of log-probabilities (beam search); null with one beam. */
  score: z.number().nullable(),
  release: CaptionSource,
  clip: z.object({ sha256: z.string() }),
  prompt: z.string(),
  decoding: Decoding,
  precision: z.string(),
  provider: z.string(),
  preprocess: PreprocessMode,
  autoOrient: z.boolean(),
  /** Wall time of the batch that held this image, divided by its images and stages. */
  ms: z.number(),
});
export type Caption = z.infer<typeof Caption>;
