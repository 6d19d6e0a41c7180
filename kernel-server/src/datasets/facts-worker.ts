/** What the threads of `fingerprints.ts` run: facts of a batch of images. */
import pLimit from 'p-limit';
import sharp from 'sharp';
import type { DicomPolicy } from './dicom.js';
import { EmbeddedImages } from './embedded.js';
import { imageFacts, type FactsContext, type FactsResult, type ImageRef } from './image-facts.js';
import type { ImageFacts } from './source.js';

export interface FactsBatch {
  root: string;
  dicom: DicomPolicy;
  images: { image: ImageRef; known?: ImageFacts }[];
}

// No image is looked at twice: what the decoder would keep of it is memory for nothing.
sharp.cache(false);

/** Reading of one image overlaps with decoding of others. */
const limit = pLimit(4);
let context: FactsContext | null = null;

export default async function factsOfBatch({ root, dicom, images }: FactsBatch): Promise<FactsResult[]> {
  if (context?.root !== root)
    context = { root, dicom, embedded: new EmbeddedImages(root), linked: new Map() };
  context.dicom = dicom;
  const current = context;
  return Promise.all(images.map(({ image, known }) => limit(() => imageFacts(image, current, known))));
}
