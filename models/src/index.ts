export { DermcapError } from './errors.js';
export type {
  Captioner,
  CaptionerOptions,
  Decoding,
  ProviderChoice,
  StageCaption,
  StageDescription,
} from './captioner.js';
export type { StageId } from './architecture/release.js';
