import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openTextTower } from './textTower.js';
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

const TOWERS = join(import.meta.dirname, '../../../test/fixtures/towers');

/** A copy of a fixture with one of its JSON files changed. */
async function changed(name: string, file: string, change: (config: Record<string, never>) => void) {
  await cp(join(TOWERS, name), folder, { recursive: true });
  const config = JSON.parse(await readFile(join(folder, file), 'utf8')) as Record<string, never>;
  change(config);
  await writeFile(join(folder, file), JSON.stringify(config));
  return folder;
}

describe('a folder', () => {
  it('is taken for its library’s by its files', async () => {
    const kind = async (name: string) => (await openVisionTower(join(TOWERS, name))).kind;
    expect(await kind('timm-gap')).toBe('TimmModel');
    expect(await kind('open-clip-quick')).toBe('VisionTransformer');
    expect(await kind('hf-legacy')).toBe('CLIPModel');
  });

  it('may be a repository in the hub’s cache: its main snapshot is taken', async () => {
    const commits = ['0a1b', '2c3d'];
    for (const commit of commits)
      await mkdir(join(folder, 'models--x--y/snapshots', commit), { recursive: true });
    const repository = join(folder, 'models--x--y');
    await expect(openVisionTower(repository)).rejects.toMatchObject({ code: 'snapshot-unclear' });
    await mkdir(join(repository, 'refs'));
    await writeFile(join(repository, 'refs/main'), '2c3d\n');
    await cp(join(TOWERS, 'hf-gelu'), join(repository, 'snapshots/2c3d'), { recursive: true });
    expect((await openVisionTower(repository)).folder).toBe(join(repository, 'snapshots/2c3d'));
  });

  it('without configuration, weights or preprocessing is refused, naming what is missing', async () => {
    await rm(join(folder, WEIGHTS));
    await expect(openVisionTower(folder)).rejects.toThrow('no open_clip_config.json and no CLIP config.json');
    await cp(join(TOWERS, 'hf-gelu/config.json'), join(folder, 'config.json'));
    await expect(openVisionTower(folder)).rejects.toThrow('holds no vision-tower weights');
    await cp(join(TOWERS, 'hf-gelu/model.safetensors'), join(folder, 'model.safetensors'));
    await expect(openVisionTower(folder)).rejects.toThrow('holds no preprocessor_config.json');
  });
});

describe('a tower that is computed otherwise', () => {
  it('is refused, naming the setting', async () => {
    const vision = (change: object) =>
      changed('open-clip-quick', CONFIG, c => Object.assign(c['model_cfg']!['vision_cfg']!, change));
    await expect(vision({ layers: [3, 4, 6, 3] }).then(openVisionTower)).rejects.toThrow('ResNet towers');
    await expect(vision({ layers: 2, attentional_pool: true }).then(openVisionTower)).rejects.toThrow(
      'attentional_pool',
    );
  });

  it('is refused when its pictures are resized otherwise', async () => {
    const preprocess = (change: object) =>
      changed('hf-gelu', 'preprocessor_config.json', c => Object.assign(c, change));
    await expect(preprocess({ resample: 2 }).then(openVisionTower)).rejects.toThrow(
      'only bicubic resampling',
    );
    await expect(
      preprocess({ resample: 3, size: { shortest_edge: 40 } }).then(openVisionTower),
    ).rejects.toThrow('resizing to 40 and cutting out 32 pixels');
  });
});

describe('a text tower', () => {
  it('accounts for every key of the file it shares with the vision tower', async () => {
    for (const name of ['timm-gap', 'timm-mean', 'open-clip-quick', 'hf-legacy']) {
      const [vision, text] = [
        await openVisionTower(join(TOWERS, name)),
        await openTextTower(join(TOWERS, name)),
      ];
      const ignored = new Set(text.keys.ignored.map(({ key }) => key));
      expect(vision.keys.used.every(key => ignored.has(key))).toBe(true);
      expect(vision.keys.ignored.map(({ key }) => key)).toEqual(expect.arrayContaining(text.keys.used));
    }
  });

  it('is pooled at the end-of-text of its configuration, or at the largest id where that is the old 2', async () => {
    expect(await openTextTower(join(TOWERS, 'hf-legacy'))).toMatchObject({ endOfText: null, cleaned: false });
    const { endOfText } = (await openTextTower(join(TOWERS, 'hf-gelu'))) as { endOfText: number };
    expect(endOfText).toBeGreaterThan(500);
  });

  it('is refused when BERT is pooled otherwise, naming how', async () => {
    const path = await changed('timm-gap', CONFIG, c => {
      Object.assign(c['model_cfg']!['text_cfg']!, { hf_pooler_type: 'mean_pooler' });
    });
    await expect(openTextTower(path)).rejects.toThrow('the pooling of texts "mean_pooler"');
  });
});
