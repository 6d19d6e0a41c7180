import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CLI } from './study.js';

// From the demo study's test pictures, which the demo release has not seen.
const IMAGES = ['demo_meta_0240.jpg', 'demo_skincap_0241.jpg'];
const picture = (name: string) =>
  fileURLToPath(new URL(`../../models/demo/study/images/${name}`, import.meta.url));

let base: string;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'dermcap-fidelity-'));
});
afterAll(() => rm(base, { recursive: true }));

it('dermcap fidelity measures the demo release on its own pictures', async () => {
  const broken = join(base, 'broken.jpg');
  await writeFile(broken, 'no picture');
  const args = ['fidelity', '--json', '--threads', '1', '--cache', join(base, 'cache')];
  const { code, stdout } = await new Promise<{ code: number; stdout: string }>(resolve => {
    execFile(process.execPath, [CLI, ...args, ...IMAGES.map(picture), broken], (error, out) =>
      resolve({ code: error ? Number(error.code) : 0, stdout: out }),
    );
  });
  expect(code).toBe(1);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    images: 3,
    preprocess: 'train-centre',
    stages: [
      { stage: 'a', captions: 2 },
      { stage: 'b', captions: 2 },
    ],
    overall: { captions: 4 },
    failed: [{ image: broken, error: { code: expect.any(String), message: expect.any(String) } }],
  });
  expect(report.overall.tokens).toBeGreaterThan(100);
  expect(report.overall.argmaxAgreement).toBeGreaterThanOrEqual(0.99);
  expect(report.overall.logProbabilityError.mean).toBeLessThan(0.05);
});
