import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clipPath, ReleaseCatalogue, releasePaths, type DescribeRelease } from './releases.js';

let base: string;

beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'dermcap-releases-')));
  for (const folder of ['demo', 'many/one', 'many/two', 'many/clip', 'elsewhere/one', 'empty']) {
    await mkdir(join(base, folder), { recursive: true });
  }
  for (const file of [
    'demo/best_stageA.pt',
    'many/one/best_stageA.pt',
    'many/two/final_captioner_gpt2_TimmModel.pt',
    'many/clip/open_clip_pytorch_model.safetensors',
    'elsewhere/one/best_stageB.pt',
  ]) {
    await writeFile(join(base, file), '');
  }
});
afterEach(() => rm(base, { recursive: true }));

const describeByName: DescribeRelease = async dir => {
  if (basename(dir) === 'empty') {
    throw new DermcapError('release-empty', 'It holds no checkpoint.', { hint: 'Name another.' });
  }
  return {
    name: basename(dir),
    stages: [{ id: 'a', label: 'Stage A', file: 'best_stageA.pt', prompt: 'Describe.' }],
    clipDir: basename(dir) === 'demo' ? join(dir, 'clip') : null,
  };
};

function catalogue(paths: string[], clipDir: string | null = null): ReleaseCatalogue {
  return new ReleaseCatalogue({
    paths: paths.map(path => join(base, path)),
    clipDir,
    demoDir: join(base, 'demo'),
    describe: describeByName,
  });
}

describe('ReleaseCatalogue', () => {
  it('lists the demo, releases, and releases in folders, each once with an id of its own', async () => {
    const entries = await catalogue(['many', 'many/one', 'elsewhere']).list();
    expect(entries.map(({ release }) => [release.id, release.demo])).toEqual([
      ['demo', true],
      ['one', false],
      ['two', false],
      ['one-2', false],
    ]);
  });

  it('lists a broken release with its sentence and refuses to hand it out', async () => {
    const releases = catalogue(['empty']);
    expect((await releases.list())[1]!.release).toMatchObject({
      id: 'empty',
      problem: 'It holds no checkpoint. Name another.',
    });
    await expect(releases.get('empty')).rejects.toMatchObject({ code: 'broken-release' });
    await expect(releases.get('unknown')).rejects.toMatchObject({
      code: 'no-such-release',
      hint: 'Known releases: demo, empty.',
    });
  });

  it('wants a vision tower: its own, else the one named', async () => {
    const without = (await catalogue(['many/one']).list()).map(({ release }) => release.problem);
    expect(without).toEqual([null, expect.stringContaining('has no vision tower')]);
    const tower = join(base, 'many', 'clip');
    const dirs = (await catalogue(['many/one'], tower).list()).map(({ clipDir }) => clipDir);
    expect(dirs).toEqual([join(base, 'demo', 'clip'), tower]);
  });

  it('lists nothing of a demo that is not there', async () => {
    await rm(join(base, 'demo'), { recursive: true });
    expect(await catalogue([]).list()).toEqual([]);
  });
});

describe('paths from options and environment', () => {
  it('puts named ones before those of the environment', () => {
    const env = { DERMCAP_RELEASE_PATH: ['/x', '', '/y'].join(delimiter) };
    expect(releasePaths(['/z'], env)).toEqual(['/z', '/x', '/y']);
    expect(clipPath(undefined, {})).toBeNull();
    expect(clipPath(undefined, { DERMCAP_CLIP_PATH: '/clip' })).toBe('/clip');
    expect(clipPath('/other', { DERMCAP_CLIP_PATH: '/clip' })).toBe('/other');
  });
});
