import type { ApiError, Caption, CaptionList, RunEvent, StageId } from '@dermcap/kernel-server/contract';

/** What is known of one image: its latest caption per stage, or why there is none. */
export interface ImageResult {
  readonly captions: Partial<Record<StageId, Caption>>;
  readonly failure: ApiError | null;
}

const NOTHING: ImageResult = { captions: {}, failure: null };

/** Latest captions and failures by image path. A new caption takes a failure away and the other way round not. */
export class Results {
  private readonly byImage = new Map<string, ImageResult>();

  of(image: string): ImageResult {
    return this.byImage.get(image) ?? NOTHING;
  }

  addList(list: CaptionList): void {
    for (const caption of list.captions) this.addCaptions(caption.image, [caption]);
    for (const { image, error } of list.failures) this.addFailure(image, error);
  }

  addEvent(event: RunEvent): void {
    if (event.type === 'captions') this.addCaptions(event.image, event.captions);
    else if (event.type === 'failure') this.addFailure(event.failure.image, event.failure.error);
  }

  private addCaptions(image: string, captions: Caption[]): void {
    const stages = Object.fromEntries(captions.map(caption => [caption.stage, caption]));
    this.byImage.set(image, { captions: { ...this.of(image).captions, ...stages }, failure: null });
  }

  private addFailure(image: string, failure: ApiError): void {
    this.byImage.set(image, { ...this.of(image), failure });
  }
}
