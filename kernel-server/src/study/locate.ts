/** Where an image's bytes are, if they are still those that the study knows. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { DermcapError } from '@dermcap/models/errors';
import type { StudyFile } from './open.js';
import type { Studies } from './studies.js';

export interface KnownImage {
  path: string;
  sha256: string | null;
  sizeBytes: number | null;
  modifiedNs: string | null;
}

/**
 * Real path of an image's file. A caption is kept under the hash of what was captioned, so other bytes than the
 * study knows are not handed out.
 * @throws DermcapError `image-changed`, or as `resolveInside` does
 */
export async function locateImage(studies: Studies, study: StudyFile, image: KnownImage): Promise<string> {
  const file = await studies.locate(study, image.path);
  const { size, mtimeNs } = await stat(file, { bigint: true });
  if (Number(size) === image.sizeBytes && String(mtimeNs) === image.modifiedNs) return file;
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  if (hash.digest('hex') === image.sha256) return file;
  throw new DermcapError('image-changed', `“${image.path}” has changed since it came into the study.`, {
    hint: 'Import it again.',
  });
}
