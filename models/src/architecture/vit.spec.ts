import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openVisionTower } from './vit.js';

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
  it('is pooled by its class token where the configuration says so', async () => {
    for (const pool of ['', 'token', null])
      await expect(open(c => (c.model_cfg.vision_cfg['timm_pool'] = pool))).resolves.toBeDefined();
  });

  it('is refused where the configuration leaves the pooling to open_clip, which takes the mean', async () => {
    await expect(open(c => delete c.model_cfg.vision_cfg['timm_pool'])).rejects.toThrow('timm_pool "avg"');
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
