/** Every golden of test/fixtures/relatives: captioners in other forms than the family's own files. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCaptioner } from '@dermcap/models';
import type { Captioner, StageId } from '@dermcap/models';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareCaptions, newTally } from './compare.js';
import { towerPath } from './goldens.js';
import type { GoldenCase } from './goldens.js';

const FIXTURES = join(import.meta.dirname, '..', 'fixtures');

interface Goldens {
  releases: Record<
    string,
    {
      why: string;
      tower: string;
      stages: StageId[];
      prompts: Partial<Record<StageId, string>>;
      path: string;
      mode: 'faithful' | 'inference-min';
    }
  >;
  cases: GoldenCase[];
}
const goldens = JSON.parse(readFileSync(join(FIXTURES, 'relatives', 'expected.json'), 'utf8')) as Goldens;
const tally = newTally();
let cacheDir: string;

beforeAll(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'dermcap-relatives-'));
});

afterAll(async () => {
  await rm(cacheDir, { recursive: true, force: true });
  const { captions, identical, score } = tally;
  console.log(
    `relatives: ${captions} captions, ${identical} token-identical, scores max |Δ| ${score.toExponential(1)}`,
  );
});

describe.each(Object.entries(goldens.releases))('%s', (name, release) => {
  const { why, tower, stages, prompts, path, mode } = release;
  let captioner: Captioner;

  beforeAll(async () => {
    const clipDir = path.startsWith('captions/') ? towerPath(tower) : join(FIXTURES, 'towers', tower);
    captioner = await openCaptioner({
      releases: [{ dir: join(FIXTURES, path), clipDir, mode }],
      provider: 'cpu',
      threads: 1,
      cacheDir,
    });
  });

  afterAll(async () => {
    await captioner?.close();
  });

  it(`opens: ${why}`, () => {
    expect(captioner.stages.map(({ id, prompt }) => [id, prompt])).toEqual(
      stages.map(id => [id, prompts[id]]),
    );
  });

  it.each(goldens.cases.filter(golden => golden.release === name))('$id', async golden => {
    await compareCaptions(captioner, golden, tally);
  });
});
