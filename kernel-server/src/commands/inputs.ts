/** What commands work on: the stages and images named on the command line. */
import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReleaseDescription } from '@dermcap/models/release';
import type { StageId } from '../contract/index.js';
import type { ImageSource } from '../engine/pipeline.js';

/** The stages asked for; without a wish both where there are two, else what there is. */
export function chooseStages({ stages }: ReleaseDescription, asked: StageId | 'both' | undefined): StageId[] {
  if (asked === 'both') return ['a', 'b'];
  if (asked !== undefined) return [asked];
  const present = stages.map(({ id }) => id);
  const trained = present.filter(id => id !== 'final');
  return trained.length > 0 ? trained : present;
}

/** The images named on the command line, by the names they were given; folders are opened. */
export async function imageSources(names: string[]): Promise<ImageSource[]> {
  const { ImageFolders } = await import('../datasets/listing.js');
  const sources: ImageSource[] = [];
  for (const name of names) {
    if (!(await stat(name).catch(() => null))?.isDirectory()) {
      sources.push({ name, locate: () => name });
      continue;
    }
    const folder = new ImageFolders(await realpath(name), { linksMayLeave: true });
    for (const path of await folder.all()) {
      const file = join(name, path);
      sources.push({ name: file, locate: () => file });
    }
  }
  return sources;
}
