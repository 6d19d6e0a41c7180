/**
 * All fixture releases open at once, with both towers: each caption is what its release gives alone. Together they
 * share everything, something and nothing, and have prefixes and prompts of different lengths.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadPixels, openCaptioner } from '@dermcap/models';
import type { Captioner, ImageInput } from '@dermcap/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imagePath, readGoldens, releasePath, towerPath } from './goldens.js';

const goldens = readGoldens();
const names = Object.keys(goldens.releases);
let cacheDir: string;
let captioner: Captioner;

beforeAll(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-sets-'));
  captioner = await openCaptioner({
    releases: names.map(name => {
      const { tower, stages } = goldens.releases[name]!;
      return { dir: releasePath(name), clipDir: towerPath(tower), stages };
    }),
    provider: 'cpu',
    threads: 1,
    cacheDir,
  });
});

afterAll(async () => {
  await captioner?.close();
  await rm(cacheDir, { recursive: true, force: true });
});

/** Cases that every release has: its own prompts, the same images and options. */
function common(decoding: string, images: number) {
  const perRelease = names.map(name =>
    goldens.cases.find(
      c =>
        c.release === name &&
        c.prompt === null &&
        c.stages.length === goldens.releases[name]!.stages.length &&
        JSON.stringify(c.decoding) === decoding &&
        c.images.length === images,
    ),
  );
  return perRelease.map(found => found!);
}

async function inputs(images: readonly string[]): Promise<ImageInput[]> {
  return Promise.all(
    images.map(async image => ({
      pixels: await Promise.all(
        captioner.inputs.map(spec =>
          loadPixels(imagePath(image), 'train-centre', spec, { autoOrient: false }),
        ),
      ),
    })),
  );
}

describe('nine releases at once', () => {
  it('have two towers and an input each', () => {
    expect(captioner.towers.map(({ name }) => name)).toHaveLength(2);
    expect(captioner.inputs.map(({ size }) => size).sort((a, b) => a - b)).toEqual([96, 160]);
    expect(captioner.stages).toHaveLength(names.flatMap(name => goldens.releases[name]!.stages).length);
  });

  it.each([
    ['the defaults', '{}', 1],
    ['three images', '{}', 3],
    ['captions that end early', '{"minNewTokens":2}', 4],
  ])('caption as each alone: %s', async (_, decoding, count) => {
    const cases = common(decoding, count);
    const images = [...new Set(cases.flatMap(c => c.images))];
    const captions = await captioner.caption(await inputs(images), { decoding: cases[0]!.decoding });
    const [actual, expected]: number[][][] = [[], []];
    let stage = 0;
    for (const golden of cases) {
      golden.images.forEach((image, i) => {
        const own = captions[images.indexOf(image)]!.slice(stage, stage + golden.stages.length);
        actual!.push(...own.map(({ tokens }) => tokens));
        expected!.push(...golden.captions[i]!.map(({ tokens }) => tokens));
      });
      stage += golden.stages.length;
    }
    expect(actual).toEqual(expected);
  });

  it('caption from features as from pixels', async () => {
    const [{ images }] = common('{}', 3) as [(typeof goldens.cases)[number]];
    const pixels = await inputs(images);
    const features = (await captioner.features(pixels)).map(perTower => ({ features: perTower }));
    expect(await captioner.caption(features)).toEqual(await captioner.caption(pixels));
  });

  it('name the input whose pixels are missing', async () => {
    await expect(captioner.caption([new Float32Array(3 * 96 * 96)])).rejects.toMatchObject({
      code: 'pixels-missing',
    });
  });
});

describe('a release opened twice', () => {
  it('with different prompts shares every weight and captions as before', async () => {
    const { tower, stages } = goldens.releases['shared-pair']!;
    const release = { dir: releasePath('shared-pair'), clipDir: towerPath(tower) };
    const open = (releases: Parameters<typeof openCaptioner>[0]['releases']) =>
      openCaptioner({ releases, provider: 'cpu', threads: 1, cacheDir });
    const twice = await open([
      { ...release, stages },
      { ...release, stages: ['a'] },
    ]);
    const alone = await open([{ ...release, stages }]);
    try {
      const pixels = [
        await loadPixels(imagePath('square.png'), 'train-centre', alone.inputs[0]!, { autoOrient: false }),
      ];
      const [both] = await twice.caption(pixels);
      const [once] = await alone.caption(pixels);
      expect(both!.map(({ tokens }) => tokens)).toEqual([...once!, once![0]!].map(({ tokens }) => tokens));
    } finally {
      await Promise.all([twice.close(), alone.close()]);
    }
  });
});
