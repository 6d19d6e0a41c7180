/**
 * What a release is, in full: architecture, every key accounted for, training configuration, shared tensors.
 */
import { openRelease } from './architecture/release.js';
import type { OpenStage, StageId, TrainingConfig } from './architecture/release.js';
import type { CaptionerArchitecture } from './architecture/captioner.js';
import { towerDoubt, towerMismatch } from './architecture/match.js';
import { openTextTower } from './architecture/textTower.js';
import type { TextTower } from './architecture/textTower.js';
import { openVisionTower } from './architecture/tower.js';
import type { VisionTower } from './architecture/tower.js';
import { DermcapError } from './errors.js';
import { defaultCacheDir } from './runtime/cache.js';
import { fileSha256 } from './runtime/identity.js';
import { compareStages } from './runtime/stageGroups.js';

export interface StageInspection {
  id: StageId;
  file: string;
  sha256: string;
  /** Wrapper keys and prefixes taken off. */
  unwrapped: readonly string[];
  architecture: CaptionerArchitecture;
  config: TrainingConfig;
}

export interface StagePairSharing {
  stages: [StageId, StageId];
  equalBytes: number;
  totalBytes: number;
  /** equalBytes / totalBytes */
  share: number;
  equal: string[];
  different: string[];
}

export interface ReleaseInspection {
  name: string;
  folder: string;
  stages: StageInspection[];
  sharing: StagePairSharing[];
  clip:
    | (Pick<
        VisionTower,
        'folder' | 'kind' | 'name' | 'sizes' | 'form' | 'layers' | 'mean' | 'std' | 'keys'
      > & {
        sha256: string;
        /** Why it may be another tower than a stage was trained with. */
        doubts: string[];
        /** The text tower beside it, for CLIP scores, or why there is none that can be used. */
        text: Pick<TextTower, 'kind' | 'form' | 'layers' | 'maxTokens' | 'keys'> | { problem: string };
      })
    | null;
}

/** @throws DermcapError as `openCaptioner` does */
export async function inspectRelease(
  releaseDir: string,
  options: { clipDir?: string | undefined; cacheDir?: string | undefined } = {},
): Promise<ReleaseInspection> {
  const cacheDir = options.cacheDir ?? defaultCacheDir();
  const release = await openRelease(releaseDir);
  const stages: StageInspection[] = [];
  for (const { id, file, path, dict, architecture, config } of release.stages) {
    const sha256 = await fileSha256(path, cacheDir);
    stages.push({ id, file, sha256, unwrapped: dict.unwrapped, architecture, config });
  }
  const sharing: StagePairSharing[] = [];
  for (const [i, a] of release.stages.entries())
    for (const b of release.stages.slice(i + 1)) sharing.push(await pairSharing(a, b, cacheDir));
  const clipDir = options.clipDir ?? release.clipDir;
  return {
    name: release.name,
    folder: release.folder,
    stages,
    sharing,
    clip: clipDir === null ? null : await inspectTower(clipDir, release.stages, cacheDir),
  };
}

async function pairSharing(a: OpenStage, b: OpenStage, cacheDir: string): Promise<StagePairSharing> {
  const { weights } = await compareStages(a, b, cacheDir);
  const entries = Object.entries(weights);
  const bytes = (list: typeof entries) => list.reduce((sum, [, weight]) => sum + weight.bytes, 0);
  // A tied head is the token embedding again: counted once.
  const distinct = entries.filter(([path]) => !(path === 'gpt2.head' && a.architecture.tiedHead));
  const equal = distinct.filter(([, weight]) => weight.equal);
  const totalBytes = bytes(distinct);
  return {
    stages: [a.id, b.id],
    equalBytes: bytes(equal),
    totalBytes,
    share: bytes(equal) / totalBytes,
    equal: equal.map(([path]) => path),
    different: distinct.filter(([, weight]) => !weight.equal).map(([path]) => path),
  };
}

async function inspectTower(
  clipDir: string,
  stages: readonly OpenStage[],
  cacheDir: string,
): Promise<ReleaseInspection['clip']> {
  const tower = await openVisionTower(clipDir);
  const doubts: string[] = [];
  for (const stage of stages) {
    const doubt = towerMismatch(stage, tower) ?? towerDoubt(stage, tower);
    if (doubt !== null) doubts.push(doubt);
  }
  const { folder, kind, name, sizes, form, layers, mean, std, keys, weightsFile } = tower;
  const sha256 = await fileSha256(weightsFile, cacheDir);
  const text = await inspectText(clipDir);
  return { folder, kind, name, sizes, form, layers, mean, std, keys, sha256, doubts, text };
}

/** Captions need no text tower: one that cannot be read is a finding, not a failure. */
async function inspectText(clipDir: string): Promise<NonNullable<ReleaseInspection['clip']>['text']> {
  try {
    const { kind, form, layers, maxTokens, keys } = await openTextTower(clipDir);
    return { kind, form, layers, maxTokens, keys };
  } catch (error) {
    if (!(error instanceof DermcapError)) throw error;
    return { problem: error.message };
  }
}
