/** Whether a captioner and a vision tower belong together, as far as their files tell. */
import { DermcapError } from '../errors.js';
import type { OpenStage } from './release.js';
import type { TowerKind, VisionTower } from './tower.js';

/** The trainer's presets (`CLIP_PRESET`). All three give embeddings of 512: the width tells nothing. */
const PRESETS: Record<string, { kind: TowerKind; patchSize: number }> = {
  biomedclip_pubmedbert: { kind: 'TimmModel', patchSize: 16 },
  dermlip_vitb16: { kind: 'VisionTransformer', patchSize: 16 },
  pubmed_clip_b32: { kind: 'CLIPModel', patchSize: 32 },
};

/**
 * @throws DermcapError `clip-mismatch` when the tower's embeddings have another width than the captioner takes, or when
 *   the captioner's configuration names another kind of tower
 */
export function checkTower(
  stage: Pick<OpenStage, 'file' | 'config' | 'architecture'>,
  tower: Pick<VisionTower, 'folder' | 'name' | 'kind' | 'sizes'>,
): void {
  const wanted = stage.architecture.embedding;
  const mismatch = (expects: string, gives: string) =>
    new DermcapError(
      'clip-mismatch',
      `${stage.file} expects ${expects}, but the vision tower ${tower.name} in ${tower.folder} ${gives}.`,
      { hint: 'This release was trained with another vision tower.' },
    );
  if (wanted !== tower.sizes.embedding)
    throw mismatch(`image embeddings of ${wanted} values`, `gives ${tower.sizes.embedding}`);

  const { clip_arch: arch, CLIP_PRESET: preset, clip_repo: repo } = stage.config;
  const known = typeof preset === 'string' ? PRESETS[preset] : undefined;
  // `clip_arch` is written from the model itself; the preset may be an old one of an edited configuration.
  const kind = typeof arch === 'string' ? arch : known?.kind;
  const named = typeof repo === 'string' ? repo : typeof preset === 'string' ? preset : kind;
  // open_clip's own ViT and transformers' CLIPModel are one architecture in two layouts: weights are converted.
  if (kind !== undefined && (kind === 'TimmModel') !== (tower.kind === 'TimmModel'))
    throw mismatch(`the tower ${named} (${kind})`, `is a ${tower.kind}`);
  // Patches tell the two published ones apart.
  if (typeof arch !== 'string' && known && kind !== 'TimmModel' && known.patchSize !== tower.sizes.patchSize)
    throw mismatch(
      `the tower ${named} with patches of ${known.patchSize} pixels`,
      `has patches of ${tower.sizes.patchSize}`,
    );
}
