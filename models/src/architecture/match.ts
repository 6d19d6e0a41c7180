/** Whether a captioner and a vision tower belong together, as far as their files tell. */
import { DermcapError } from '../errors.js';
import type { OpenStage } from './release.js';
import type { TowerKind, VisionTower } from './tower.js';

type Stage = Pick<OpenStage, 'file' | 'config' | 'architecture'>;
type Tower = Pick<VisionTower, 'folder' | 'name' | 'kind' | 'sizes'>;

/** The trainer's presets (`CLIP_PRESET`). All three give embeddings of 512: the width tells nothing. */
const PRESETS: Record<string, { kind: TowerKind; patchSize: number }> = {
  biomedclip_pubmedbert: { kind: 'TimmModel', patchSize: 16 },
  dermlip_vitb16: { kind: 'VisionTransformer', patchSize: 16 },
  pubmed_clip_b32: { kind: 'CLIPModel', patchSize: 32 },
};

/** @throws DermcapError `clip-mismatch` when {@link towerMismatch} finds something */
export function checkTower(stage: Stage, tower: Tower): void {
  const mismatch = towerMismatch(stage, tower);
  if (mismatch !== null)
    throw new DermcapError('clip-mismatch', mismatch, {
      hint: 'This release was trained with another vision tower.',
    });
}

/**
 * Why a captioner and a tower cannot go together, in words: the tower's embeddings have another width, or the
 * checkpoint's `clip_arch`, written from the model itself, is another kind of tower. Null where they can.
 */
export function towerMismatch({ file, config, architecture }: Stage, tower: Tower): string | null {
  const sentence = (expects: string, gives: string) =>
    `${file} expects ${expects}, but the vision tower ${tower.name} in ${tower.folder} ${gives}.`;
  const wanted = architecture.embedding;
  if (wanted !== tower.sizes.embedding)
    return sentence(`image embeddings of ${wanted} values`, `gives ${tower.sizes.embedding}`);
  const { clip_arch: arch, clip_repo: repo } = config;
  if (typeof arch !== 'string' || !isOther(arch, tower)) return null;
  return sentence(typeof repo === 'string' ? `${repo} (${arch})` : `a ${arch}`, `is a ${tower.kind}`);
}

/**
 * Why the tower may be another than the stage was trained with, in words; null where nothing speaks against it. Only a
 * doubt: a preset may have stayed as it was in an edited configuration.
 */
export function towerDoubt({ file, config }: Stage, tower: Tower): string | null {
  const preset = config['CLIP_PRESET'];
  const known = typeof preset === 'string' && !('clip_arch' in config) ? PRESETS[preset] : undefined;
  if (!known) return null;
  const why = isOther(known.kind, tower)
    ? `a ${known.kind}; this is a ${tower.kind}.`
    : known.kind !== 'TimmModel' && known.patchSize !== tower.sizes.patchSize
      ? `whose patches have ${known.patchSize} pixels; this one’s have ${tower.sizes.patchSize}.`
      : null;
  return why && `${file} names the preset ${String(preset)}, ${why}`;
}

/** open_clip's own ViT and transformers' CLIPModel are one architecture in two layouts: weights are converted. */
function isOther(kind: string, tower: Tower): boolean {
  return (kind === 'TimmModel') !== (tower.kind === 'TimmModel');
}
