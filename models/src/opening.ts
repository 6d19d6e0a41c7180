import { realpath } from 'node:fs/promises';
import { checkTower } from './architecture/match.js';
import { endOfTextId, openRelease, tokenizerFile } from './architecture/release.js';
import type { OpenRelease } from './architecture/release.js';
import { openVisionTower } from './architecture/tower.js';
import type { VisionTower } from './architecture/tower.js';
import type { ReleaseRequest } from './captioner.js';
import { DermcapError } from './errors.js';
import type { InputSpec } from './image/preprocess.js';
import type { Member } from './runtime/stageGroups.js';
import { gpt2Tokenizer, loadTokenizer } from './text/tokenizer.js';
import type { Tokenizer } from './text/tokenizer.js';

/** Releases whose pickles have been read, not yet their weights. */
export interface OpenReleases {
  releases: OpenRelease[];
  /** One a release. */
  tokenizers: Tokenizer[];
  /** Distinct ones, each with its place among `inputs`. */
  towers: (VisionTower & { input: number })[];
  /** The distinct ways in which the towers want an image. */
  inputs: InputSpec[];
  /** All stages of all releases, in order. */
  members: (Member & { release: number })[];
}

/**
 * Opens every release and the distinct towers they need.
 * @throws DermcapError naming what is missing or does not fit, with a hint
 */
export async function openAll(requests: readonly ReleaseRequest[]): Promise<OpenReleases> {
  const releases: OpenRelease[] = [];
  const tokenizers: Tokenizer[] = [];
  const folders: string[] = [];
  const towers: OpenReleases['towers'] = [];
  const inputs: InputSpec[] = [];
  const members: (Member & { release: number })[] = [];
  for (const [index, { dir, clipDir, stages, mode }] of requests.entries()) {
    const release = await openRelease(dir, stages, { mode });
    const tokenizer = await releaseTokenizer(release.folder);
    const towerDir = clipDir ?? release.clipDir;
    if (towerDir === null)
      throw new DermcapError('clip-missing', `${dir}: no vision tower was found for this release.`, {
        hint: 'Name its folder (--clip DIR), or put it into the release as "clip".',
      });
    const folder = await realpath(towerDir).catch(() => towerDir);
    let tower = folders.indexOf(folder);
    if (tower < 0) {
      const vision = await openVisionTower(towerDir);
      const { imageSize: size, mean, std, centre } = vision;
      tower = towers.push({ ...vision, input: placeOf(inputs, { size, mean, std, centre }) }) - 1;
      folders.push(folder);
    }
    for (const stage of release.stages) {
      checkTower(stage, towers[tower]!);
      const { vocabulary } = stage.architecture.sizes;
      const endOfText = endOfTextId(vocabulary, release.endOfText, tokenizer.endOfText);
      members.push({ stage, tower, endOfText, release: index });
    }
    releases.push(release);
    tokenizers.push(tokenizer);
  }
  return { releases, tokenizers, towers, inputs, members };
}

/** Place of a value in a list of distinct ones, where it is put if it is new. */
function placeOf<T>(distinct: T[], value: T): number {
  const key = JSON.stringify(value);
  const found = distinct.findIndex(item => JSON.stringify(item) === key);
  return found < 0 ? distinct.push(value) - 1 : found;
}

async function releaseTokenizer(releaseDir: string): Promise<Tokenizer> {
  const file = await tokenizerFile(releaseDir);
  return file === null ? gpt2Tokenizer() : loadTokenizer(file);
}
