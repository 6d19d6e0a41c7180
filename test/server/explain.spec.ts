import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLI, makeStudy, RELEASE, TOWER, type Study } from './study.js';

let study: Study;

beforeAll(async () => {
  study = await makeStudy();
});
afterAll(() => rm(study.base, { recursive: true }));

function explain(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const all = [CLI, 'explain', '--release', RELEASE, '--clip', TOWER, '--threads', '1', ...args];
  return new Promise(resolve => {
    execFile(
      process.execPath,
      all,
      { cwd: study.root, env: { ...process.env, DERMCAP_CACHE: study.cacheDir }, maxBuffer: 1e8 },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);

describe('dermcap explain', () => {
  it('explains each stage’s caption under both stages, as JSON', async () => {
    const { code, stdout } = await explain('--json', '--end-of-text', '--top-k', '2', 'img1.png');
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ image: 'img1.png', release: 'shared-pair', preprocess: 'train-centre' });
    expect(report.texts.map(({ writtenBy }: { writtenBy: string }) => writtenBy)).toEqual(['a', 'b']);
    expect(report.vision.rollout.flat().length).toBe(100);
    expect(sum(report.vision.rollout.flat()) + report.vision.classToken).toBeCloseTo(1, 2);
    for (const { text, readings, divergences, words } of report.texts) {
      expect(readings.map(({ stage }: { stage: string }) => stage)).toEqual(['a', 'b']);
      expect(readings[0].prompt).not.toBe(readings[1].prompt);
      for (const {
        tokens,
        shares,
        attention,
        rollout,
        promptTokens,
        prefixSlots,
        logLikelihood,
      } of readings) {
        expect(tokens.at(-1).text).toBe('<|endoftext|>');
        expect(tokens.map((token: { text: string }) => token.text).join('')).toBe(text);
        expect(sum(tokens.map((token: { logProbability: number }) => token.logProbability))).toBeCloseTo(
          logLikelihood,
          2,
        );
        for (const { alternatives } of tokens) expect(alternatives).toHaveLength(2);
        const positions = prefixSlots + promptTokens.length + tokens.length - 1;
        for (const table of [attention.mean, attention.max, rollout]) {
          expect(table).toHaveLength(tokens.length);
          for (const row of table) expect(row).toHaveLength(positions);
        }
        for (const row of [...attention.mean, ...rollout]) expect(sum(row)).toBeCloseTo(1, 2);
        for (const { prefix, prompt, earlier } of shares) expect(prefix + prompt + earlier).toBeCloseTo(1, 3);
        expect(attention.full).toBeUndefined();
      }
      expect(divergences).toHaveLength(1);
      expect(divergences[0].jensenShannon).toHaveLength(readings[0].tokens.length);
      expect(words.flatMap((word: { tokens: number[] }) => word.tokens)).toHaveLength(
        readings[0].tokens.length,
      );
    }
  });

  it('gives every layer and head when asked, behind a prompt that is given', async () => {
    const args = [
      '--json',
      '--stage',
      'b',
      '--text',
      'a red plaque',
      '--prompt',
      'It is',
      '--attention',
      'full',
    ];
    const report = JSON.parse((await explain(...args, 'img2.png')).stdout);
    const [{ writtenBy, readings, divergences }] = report.texts;
    expect([writtenBy, divergences]).toEqual([null, []]);
    const [{ attention, prompt }] = readings;
    expect(prompt).toBe('It is');
    expect([attention.full.length, attention.full[0].length]).toEqual([attention.layers, attention.heads]);
    for (const row of attention.full.flat(2)) expect(sum(row)).toBeCloseTo(1, 2);
  });

  it('adds saliency of chosen words', async () => {
    const args = ['--text', 'a red plaque', '--words', 'Plaque', '--stage', 'a', '--json'];
    const occlusion = ['--saliency', 'occlusion', '--window', '5', '--stride', '5'];
    const report = JSON.parse((await explain(...args, ...occlusion, 'img1.png')).stdout);
    const [{ saliency, words }] = report.texts;
    expect(saliency).toHaveLength(1);
    expect(saliency[0]).toMatchObject({ stage: 'a', method: 'occlusion', images: 4, grid: 10 });
    expect(saliency[0].tokens).toEqual(words.find(({ text }: { text: string }) => text === 'plaque').tokens);
    expect(saliency[0].values).toHaveLength(10);
  });

  it('names words that the text has not', async () => {
    const args = ['--text', 'a red plaque', '--words', 'nevus', '--saliency', 'masking', '--masks', '2'];
    const { code, stderr } = await explain(...args, 'img1.png');
    expect(code).toBe(2);
    expect(stderr).toContain('The text has no word “nevus”.');
    expect(stderr).toContain('a red plaque');
  });

  it('shows a table of tokens and maps to people', async () => {
    const args = ['--text', 'a red plaque', '--saliency', 'masking', '--masks', '2'];
    const { code, stdout } = await explain(...args, 'img1.png');
    expect(code).toBe(0);
    expect(stdout).toContain('A: log p');
    expect(stdout).toContain('" plaque"');
    expect(stdout).toMatch(/Log-likelihood under stage B: -\d/);
    expect(stdout).toContain('Saliency for stage A, the whole text');
    expect(stdout).toContain('not for clinical use');
  });

  it('fails for a picture that is none', async () => {
    const { code, stdout } = await explain('--json', '--text', 'a', 'more/text.jpg');
    expect(code).toBe(2);
    expect(JSON.parse(stdout).error.message).toContain('text.jpg');
  });
});
