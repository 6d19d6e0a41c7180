import { execFile, spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Caption } from '@dermcap/kernel-server/contract';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLI, makeStudy, RELEASE, TOWER, type Study } from './study.js';

let study: Study;

beforeAll(async () => {
  study = await makeStudy();
});
afterAll(() => rm(study.base, { recursive: true }));

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function dermcap(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise(resolve => {
    execFile(
      process.execPath,
      [CLI, ...args],
      { cwd: study.root, env: { ...process.env, DERMCAP_CACHE: study.cacheDir, ...env } },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

const release = () => ['--release', RELEASE, '--clip', TOWER];
const short = ['--max-new-tokens', '8', '--min-new-tokens', '2', '--provider', 'cpu'];
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const lines = (text: string): any[] =>
  text
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));

describe('dermcap caption', () => {
  it('writes one JSON line per image and stage, in the order of the images, and fails those it cannot read', async () => {
    const images = ['img3.png', './more/text.jpg', 'img1.png', 'none.png'];
    const { code, stdout } = await dermcap(['caption', ...release(), ...short, '--json', ...images]);
    expect(code).toBe(1);
    const [a, b, text, a1, b1, none, ...rest] = lines(stdout);
    expect(rest).toEqual([]);
    expect([a, b, a1, b1].map(({ image, stage }) => `${image} ${stage}`)).toEqual([
      'img3.png a',
      'img3.png b',
      'img1.png a',
      'img1.png b',
    ]);
    for (const caption of [a, b, a1, b1]) Caption.parse(caption);
    expect(a.prompt).not.toBe(b.prompt);
    expect(a.autoOrient).toBe(false);
    expect(text).toEqual({
      image: './more/text.jpg',
      error: { code: expect.any(String), message: expect.any(String) },
    });
    expect(none).toMatchObject({
      image: 'none.png',
      error: { message: expect.stringContaining('none.png') },
    });
  });

  it('passes its options on', async () => {
    await writeFile(join(study.base, 'bad.txt'), 'skin lesion\n\n the\r\n');
    const { code, stdout, stderr } = await dermcap([
      ...['caption', ...release(), '--json', '--stage', 'b', '--prompt', 'Describe:', '--provider', 'cpu'],
      ...[
        '--num-beams',
        '2',
        '--max-new-tokens',
        '9',
        '--min-new-tokens',
        '3',
        '--no-repeat-ngram-size',
        '0',
      ],
      ...['--repetition-penalty', '1.3', '--length-penalty', '-1', '--no-early-stopping'],
      ...[
        '--bad-words',
        join(study.base, 'bad.txt'),
        '--preprocess',
        'openclip-eval',
        '--auto-orient',
        'more/turned.jpg',
      ],
    ]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(lines(stdout)).toMatchObject([
      {
        image: 'more/turned.jpg',
        stage: 'b',
        prompt: 'Describe:',
        preprocess: 'openclip-eval',
        autoOrient: true,
        decoding: {
          numBeams: 2,
          maxNewTokens: 9,
          minNewTokens: 3,
          noRepeatNgramSize: 0,
          repetitionPenalty: 1.3,
          lengthPenalty: -1,
          earlyStopping: false,
          badWords: ['skin lesion', ' the'],
        },
      },
    ]);
  });

  it('samples, and decodes as ClipCap does', async () => {
    const caption = async (...flags: string[]) =>
      lines(
        (await dermcap(['caption', ...release(), '--json', '--stage', 'b', ...flags, 'img2.png'])).stdout,
      )[0];
    const sampling =
      '--do-sample --temperature 0.8 --top-k 9 --top-p 0.9 --max-new-tokens 9 --min-new-tokens 9';
    const drawn = await caption(...sampling.split(' '), '--seed', '5');
    expect(drawn).toMatchObject({
      score: null,
      decoding: { doSample: true, numBeams: 1, temperature: 0.8, topK: 9, topP: 0.9, seed: 5 },
    });
    expect(drawn.tokens).toHaveLength(9);
    expect((await caption(...sampling.split(' '), '--seed', '6')).tokens).not.toEqual(drawn.tokens);
    expect(await caption('--algorithm', 'clipcap', '--max-new-tokens', '9')).toMatchObject({
      decoding: { algorithm: 'clipcap', numBeams: 5, maxNewTokens: 9, repetitionPenalty: 1, stopText: '.' },
    });
  });

  it('captions the same alone and in a batch, and opens folders', async () => {
    const all = lines(
      (await dermcap(['caption', ...release(), ...short, '--json', '--batch-size', '3', '.'])).stdout,
    );
    const captions = all.filter(line => 'caption' in line);
    expect(all).toHaveLength(15 * 2 + 2);
    const [alone] = lines((await dermcap(['caption', ...release(), ...short, '--json', 'img12.png'])).stdout);
    expect(captions.find(({ image, stage }) => image === 'img12.png' && stage === 'a').tokens).toEqual(
      alone.tokens,
    );
  });

  it('prints a table for people, with what made it', async () => {
    const { code, stdout, stderr } = await dermcap([
      'caption',
      ...release(),
      ...short,
      'img1.png',
      'more/empty.png',
    ]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/Image +│ Stage +│ Caption/);
    expect(stdout).toMatch(/img1\.png +│ A /);
    expect(stdout).toMatch(/more\/empty\.png +│ failed/);
    expect(stdout).toMatch(
      /Release shared-pair, exact on cpu \(asked for by name\)\. 1 of 2 images failed\./,
    );
    expect(stdout).toMatch(/Research use only, not for clinical use\./);
    expect(stderr).toBe('');
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });

  it('fails as a whole in one sentence, or in one JSON object', async () => {
    const args = ['caption', '--release', join(study.base, 'none'), 'img1.png'];
    const plain = await dermcap(args);
    expect(plain).toMatchObject({ code: 2, stdout: '' });
    expect(plain.stderr).toMatch(/^dermcap: .*none.*\n/);
    expect(plain.stderr).not.toMatch(/\n {4}at /);
    const json = await dermcap([...args, '--json']);
    expect([json.code, lines(json.stdout)]).toEqual([
      2,
      [{ error: { code: 'release-missing', message: expect.any(String), hint: expect.any(String) } }],
    ]);
  });

  it.each([
    [['--stage', 'c'], /Allowed choices are a, b, final, both/],
    [['--num-beams', '0'], /at least 1/],
    [['--num-beams', '99'], /--num-beams cannot be used/],
    [['--do-sample', '--num-beams', '4'], /--num-beams cannot be used: sampling draws with one beam/],
    [['--top-p', '2'], /--top-p cannot be used/],
    [['--length-penalty', 'much'], /must be a number/],
    [['--bad-words', '/none'], /cannot be read/],
    [['--stage', 'final'], /[Ff]inal/],
    [['--unknown'], /unknown option/],
  ])('refuses %j', async (flags, sentence) => {
    const { code, stderr } = await dermcap(['caption', ...release(), ...flags, 'img1.png']);
    expect(code).toBe(2);
    expect(stderr).toMatch(sentence);
  });

  it('stops quietly when its reader has seen enough', async () => {
    const args = ['caption', ...release(), ...short, '--json', '--batch-size', '1', '.'];
    const child = spawn(process.execPath, [CLI, ...args], {
      cwd: study.root,
      env: { ...process.env, DERMCAP_CACHE: study.cacheDir },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', chunk => (stderr += chunk));
    child.stdout.once('data', () => child.stdout.destroy());
    const code = await new Promise(resolve => child.on('close', resolve));
    expect([code, stderr]).toEqual([0, '']);
  });
});

describe('dermcap inspect', () => {
  it('shows what a release is', async () => {
    const { code, stdout } = await dermcap(['inspect', ...release()]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Stage A {2}best_stageA\.pt/);
    expect(stdout).toMatch(/GPT-2 +4 layers, width 16, 4 heads/);
    expect(stdout).toMatch(/LoRA +.*rank 16/);
    expect(stdout).toMatch(/Stages A and B share/);
    expect(stdout).toMatch(/Vision tower/);
  });

  it('says it all as JSON', async () => {
    const { stdout } = await dermcap(['inspect', ...release(), '--json']);
    const inspection = JSON.parse(stdout);
    expect(inspection.stages.map(({ id }: { id: string }) => id)).toEqual(['a', 'b']);
    expect(inspection.sharing[0].share).toBeGreaterThan(0);
  });
});

describe('dermcap', () => {
  it('lists the releases that serve would offer', async () => {
    const { stdout } = await dermcap(['releases', '--json'], {
      DERMCAP_RELEASE_PATH: join(RELEASE, '..'),
      DERMCAP_CLIP_PATH: TOWER,
    });
    const { releases } = JSON.parse(stdout);
    expect(releases.find(({ id }: { id: string }) => id === 'shared-pair')).toMatchObject({
      problem: null,
      dir: RELEASE,
    });
  });

  it('explains itself without loading a model', async () => {
    const { code, stdout } = await dermcap(['--help'], { NODE_DEBUG_NATIVE: '' });
    expect(code).toBe(0);
    expect(stdout).toMatch(/caption .*\n[^]*inspect[^]*releases[^]*serve/);
    const loaded = await new Promise<string>(resolve => {
      const script = `process.argv = [process.execPath, ${JSON.stringify(CLI)}, '--help'];
        await import(${JSON.stringify(CLI)});
        process.stdout.write('\\nloaded ' + process.report.getReport().sharedObjects.filter(file => file.endsWith('.node')));`;
      execFile(process.execPath, ['--input-type=module', '-e', script], (_error, output) => resolve(output));
    });
    expect(loaded).toMatch(/loaded $/);
  });
});

describe('dermcap study', () => {
  it('makes, fills, describes, checks and copies a study', async () => {
    expect(await dermcap(['study', 'create', 'cli.dermcap', '--title', 'Naevi'])).toMatchObject({ code: 0 });
    const filled = await dermcap(['study', 'import', 'more', 'cli.dermcap']);
    expect(filled).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/4 images added.*\n {2}unreadable: 2/),
    });
    const { stdout } = await dermcap(['study', 'info', 'cli.dermcap', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ title: 'Naevi', images: 4, states: { ok: 2, unreadable: 2 } });
    expect(await dermcap(['study', 'check', 'cli.dermcap'])).toMatchObject({ code: 0 });
    expect(await dermcap(['study', 'backup', 'cli.dermcap', 'copy.dermcap'])).toMatchObject({ code: 0 });
    expect((await dermcap(['study', 'info', 'copy.dermcap'])).stdout).toMatch(/4 images/);
    const again = await dermcap(['study', 'create', 'cli.dermcap']);
    expect(again).toMatchObject({ code: 2, stderr: expect.stringMatching(/exists already/) });
  });
});
