import type { StageId } from '@dermcap/kernel-server/contract';
import type { ImageResult } from './results.js';

/** How one image stands. */
export interface ImageStanding extends ImageResult {
  /** Where it is in the run under way. */
  place: 'captioning' | 'queued' | null;
  /** True when the file itself cannot be shown. */
  unreadable: boolean;
}

const ORDER: StageId[] = ['a', 'b', 'final'];

/** Stages that have captioned the image, A first. */
export function captionedStages(result: ImageResult): StageId[] {
  return ORDER.filter(stage => result.captions[stage] !== undefined);
}
