import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openVisionTower } from './tower.js';

const TOWER = join(import.meta.dirname, '../../../test/fixtures/captions/towers/vit-96');
const [CONFIG, WEIGHTS] = ['open_clip_config.json', 'open_clip_pytorch_model.bin'];

interface Config {
  model_cfg: { embed_dim: number; vision_cfg: Record<string, unknown> };
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-tower-'));
  await copyFile(join(TOWER, WEIGHTS), join(folder, WEIGHTS));
});
afterEach(() => rm(folder, { recursive: true }));

/** Opens the tower with a changed configuration. */
async function open(change: (config: Config) => void) {
  const config = JSON.parse(await readFile(join(TOWER, CONFIG), 'utf8')) as Config;
  change(config);
  await writeFile(join(folder, CONFIG), JSON.stringify(config));
  return openVisionTower(folder);
}

describe('a vision tower', () => {
  it('is pooled by its class token or by the mean, which is open_clip’s own where the configuration is silent', async () => {
    const pooling = async (change: (vision: Record<string, unknown>) => void) =>
      (await open(c => change(c.model_cfg.vision_cfg))).form.pooling;
    for (const pool of ['', 'token', null]) expect(await pooling(v => (v['timm_pool'] = pool))).toBe('token');
    expect(await pooling(v => (v['timm_pool'] = 'avg'))).toBe('mean');
    expect(await pooling(v => delete v['timm_pool'])).toBe('mean');
    await expect(pooling(v => (v['timm_pool'] = 'map'))).rejects.toThrow('timm_pool "map"');
  });

  it('is computed as timm’s name for it says, where no tensor tells', async () => {
    const form = async (name: string) =>
      (await open(c => (c.model_cfg.vision_cfg['timm_model_name'] = name))).form;
    expect(await form('vit_base_patch16_224')).toMatchObject({ epsilon: 1e-6, activation: 'gelu' });
    expect(await form('vit_base_patch16_clip_224.openai')).toMatchObject({
      epsilon: 1e-5,
      activation: 'gelu',
    });
    expect(await form('vit_base_patch16_clip_quickgelu_224')).toMatchObject({ activation: 'quick-gelu' });
  });

  it('is refused when its head has another width than the configuration', async () => {
    await expect(open(c => (c.model_cfg.embed_dim = 99))).rejects.toThrow(
      'visual.head.proj.weight is [24, 64], expected [99, 64]',
    );
  });

  it('has heads of 64, but for the sizes that timm gives others', async () => {
    const heads = async (name: string) =>
      (await open(c => (c.model_cfg.vision_cfg['timm_model_name'] = name))).sizes.heads;
    expect(await heads('vit_base_patch16_224')).toBe(1);
    expect(await heads('vit_huge_patch14_224')).toBe(16);
  });
});
