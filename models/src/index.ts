export { describeRelease } from './architecture/release.js';
export type { ReleaseDescription, StageFile, StageId } from './architecture/release.js';
export { openCaptioner } from './captioner.js';
export type {
  Captioner,
  CaptionerOptions,
  CaptionRequest,
  StageCaption,
  StageDescription,
} from './captioner.js';
export { CLIPCAP_DECODING, DEFAULT_DECODING } from './decoding.js';
export type { Decoding } from './decoding.js';
export { DermcapError } from './errors.js';
export { decodeImage } from './image/decode.js';
export type { RgbImage } from './image/decode.js';
export { loadPixels, preprocess } from './image/preprocess.js';
export type { InputSpec, PreprocessMode } from './image/preprocess.js';
export { inspectRelease } from './inspect.js';
export type { ReleaseInspection } from './inspect.js';
export type { ProviderChoice } from './runtime/session.js';
