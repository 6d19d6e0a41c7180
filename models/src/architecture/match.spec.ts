import { describe, expect, it } from 'vitest';
import { checkTower } from './match.js';
import type { TowerKind } from './tower.js';

/** A stage of the trainer with this configuration against a tower of this kind. */
const check = (config: Record<string, unknown>, kind: TowerKind, patchSize = 16, embedding = 512) => {
  const stage = { file: 'best_stageB.pt', config, architecture: { embedding: 512 } };
  const sizes = { imageSize: 224, patchSize, width: 768, heads: 12, embedding };
  checkTower(stage as Parameters<typeof checkTower>[0], { folder: 'clip', name: 'ViT-B/16', kind, sizes });
};

describe('a captioner and a vision tower', () => {
  it('are refused together when the embeddings differ in width', () => {
    expect(() => check({}, 'TimmModel', 16, 640)).toThrow(
      'best_stageB.pt expects image embeddings of 512 values, but the vision tower ViT-B/16 in clip gives 640.',
    );
  });

  it('are refused together when the configuration names another kind of tower of the same width', () => {
    const biomed = { CLIP_PRESET: 'biomedclip_pubmedbert' };
    expect(() => check(biomed, 'TimmModel')).not.toThrow();
    expect(() => check(biomed, 'VisionTransformer')).toThrow(
      'expects the tower biomedclip_pubmedbert (TimmModel), but the vision tower ViT-B/16 in clip is a VisionTransformer.',
    );
    const dermlip = { clip_arch: 'VisionTransformer', clip_repo: 'redlessone/DermLIP_ViT-B-16' };
    expect(() => check(dermlip, 'VisionTransformer')).not.toThrow();
    expect(() => check(dermlip, 'TimmModel')).toThrow('expects the tower redlessone/DermLIP_ViT-B-16');
  });

  it('take each other when weights were converted from one library to the other, unless the patches differ', () => {
    const pubmed = { CLIP_PRESET: 'pubmed_clip_b32' };
    expect(() => check(pubmed, 'CLIPModel', 32)).not.toThrow();
    expect(() => check(pubmed, 'VisionTransformer', 32)).not.toThrow();
    expect(() => check(pubmed, 'VisionTransformer', 16)).toThrow('patches of 32 pixels');
  });

  it('believe what was written from the model itself before the preset', () => {
    expect(() => check({ clip_arch: 'TimmModel', CLIP_PRESET: 'dermlip_vitb16' }, 'TimmModel')).not.toThrow();
  });

  it('are not judged where the configuration says nothing', () => {
    expect(() => check({ CLIP_PRESET: 'dermcap_demo' }, 'CLIPModel')).not.toThrow();
  });
});
