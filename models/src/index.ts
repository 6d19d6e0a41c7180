export { describeRelease } from './architecture/release.js';
export type { ReleaseDescription, StageFile, StageId } from './architecture/release.js';
export { openCaptioner } from './captioner.js';
export type {
  Captioner,
  CaptionerOptions,
  CaptionRequest,
  ImageInput,
  ReleaseRequest,
  StageCaption,
  StageDescription,
  TowerDescription,
} from './captioner.js';
export { openClip, openTextTower } from './clip.js';
export type { ClipModel, ClipOptions, TextTower } from './clip.js';
export { CLIPCAP_DECODING, DEFAULT_DECODING } from './decoding.js';
export type { Decoding } from './decoding.js';
export { DermcapError } from './errors.js';
export { openExplainer } from './explainer.js';
export type { ExplainerOptions } from './explainer.js';
export type {
  Divergence,
  ExplainedStage,
  Explainer,
  ExplainerDescription,
  Explanation,
  ExplainRequest,
  ImagePixels,
  Reading,
  Saliency,
  SaliencyRequest,
  TextRequest,
  TokenReading,
  TokenText,
  VisionRollout,
} from './explanation/types.js';
export { attentionShares, reduceAttention } from './explanation/attention.js';
export type { AttentionMap, AttentionSelection, AttentionShare } from './explanation/attention.js';
export type { SaliencyMethod, Steering } from './explanation/saliency.js';
export { groupWords } from './explanation/words.js';
export type { Word } from './explanation/words.js';
export { decodeImage } from './image/decode.js';
export type { RgbImage } from './image/decode.js';
export { loadPixels, preprocess } from './image/preprocess.js';
export type { InputSpec, PreprocessMode } from './image/preprocess.js';
export { measureFidelity } from './fidelity.js';
export type { Fidelity, FidelityFigures, FidelityImage, FidelityOptions } from './fidelity.js';
export { inspectRelease } from './inspect.js';
export type { ReleaseInspection } from './inspect.js';
export type { ProviderChoice, ProviderName } from './runtime/providers.js';
export type { Precision } from './runtime/loading.js';
