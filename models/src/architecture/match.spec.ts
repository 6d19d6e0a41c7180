import { describe, expect, it } from 'vitest';
import { checkTower, towerDoubt } from './match.js';
import type { TowerKind } from './tower.js';

type Arguments = Parameters<typeof checkTower>;

/** A stage of the trainer with this configuration, and a tower of this kind. */
function pair(config: object, kind: TowerKind, patchSize = 16, embedding = 512): Arguments {
  const stage = { file: 'best_stageB.pt', config, architecture: { embedding: 512 } } as Arguments[0];
  const sizes = { imageSize: 224, patchSize, width: 768, heads: 12, embedding };
  return [stage, { folder: 'clip', name: 'ViT-B/16', kind, sizes }];
}

describe('a captioner and a vision tower', () => {
  it('are refused together when the embeddings differ in width', () => {
    expect(() => checkTower(...pair({}, 'TimmModel', 16, 640))).toThrow(
      'best_stageB.pt expects image embeddings of 512 values, but the vision tower ViT-B/16 in clip gives 640.',
    );
  });

  it('are refused together when the checkpoint was written with another kind of the same width', () => {
    const dermlip = { clip_arch: 'VisionTransformer', clip_repo: 'redlessone/DermLIP_ViT-B-16' };
    expect(() => checkTower(...pair(dermlip, 'VisionTransformer'))).not.toThrow();
    expect(() => checkTower(...pair(dermlip, 'TimmModel'))).toThrow(
      'expects redlessone/DermLIP_ViT-B-16 (VisionTransformer), but the vision tower ViT-B/16 in clip is a TimmModel.',
    );
  });

  it('take each other when weights were converted from one library to the other', () => {
    expect(() => checkTower(...pair({ clip_arch: 'CLIPModel' }, 'VisionTransformer'))).not.toThrow();
  });
});

describe('a preset that names another tower', () => {
  it('is a doubt in words, not an error', () => {
    const biomed = pair({ CLIP_PRESET: 'biomedclip_pubmedbert' }, 'CLIPModel');
    expect(() => checkTower(...biomed)).not.toThrow();
    expect(towerDoubt(...biomed)).toBe(
      'best_stageB.pt names the preset biomedclip_pubmedbert, a TimmModel; this is a CLIPModel.',
    );
    expect(towerDoubt(...pair({ CLIP_PRESET: 'pubmed_clip_b32' }, 'VisionTransformer', 16))).toContain(
      'patches have 32 pixels',
    );
  });

  it('is none where kind and patches fit, or where the model itself was written down', () => {
    expect(towerDoubt(...pair({ CLIP_PRESET: 'biomedclip_pubmedbert' }, 'TimmModel'))).toBeNull();
    expect(towerDoubt(...pair({ CLIP_PRESET: 'dermlip_vitb16' }, 'CLIPModel'))).toBeNull();
    expect(
      towerDoubt(...pair({ CLIP_PRESET: 'dermlip_vitb16', clip_arch: 'TimmModel' }, 'TimmModel')),
    ).toBeNull();
    expect(towerDoubt(...pair({ CLIP_PRESET: 'dermcap_demo' }, 'CLIPModel'))).toBeNull();
  });
});
