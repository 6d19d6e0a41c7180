/**
 * The newest caption of every image and stage that this server has made, and the newest failure of images
 * that have had no caption since. In memory only.
 */
import type { CaptionList, ImageFailure } from '../contract/index.js';
import type { ImageResult } from '../engine/pipeline.js';

/** Images remembered; the ones longest unchanged are forgotten first. About 2 KB each. */
const MAX_IMAGES = 200_000;

interface Latest {
  captions: Map<string, CaptionList['captions'][number]>;
  failure: ImageFailure | null;
}

export class LatestCaptions {
  readonly #images = new Map<string, Latest>();

  record(result: ImageResult): void {
    const latest = this.#images.get(result.image) ?? { captions: new Map(), failure: null };
    if ('error' in result) {
      latest.failure = result;
    } else {
      latest.failure = null;
      for (const caption of result.captions) latest.captions.set(caption.stage, caption);
    }
    this.#images.delete(result.image);
    this.#images.set(result.image, latest);
    if (this.#images.size > MAX_IMAGES) this.#images.delete(this.#images.keys().next().value!);
  }

  /** @param folder without leading or trailing slash; empty for all */
  inFolder(folder: string): CaptionList {
    const prefix = folder === '' ? '' : `${folder}/`;
    const list: CaptionList = { captions: [], failures: [] };
    for (const [image, { captions, failure }] of this.#images) {
      if (!image.startsWith(prefix)) continue;
      list.captions.push(...captions.values());
      if (failure) list.failures.push(failure);
    }
    return list;
  }
}
