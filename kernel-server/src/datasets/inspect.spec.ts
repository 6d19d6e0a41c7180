import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startExaminer } from './fingerprints.js';
import { inspectDataset } from './inspect.js';
import { openDataset } from './open.js';
import { FIXTURES, folderOf } from './testFolder.js';

const picture = (name: string): Promise<Buffer> => readFile(join(FIXTURES, 'hashes', name));

async function damagedDataset(): Promise<string> {
  const [first, second] = await Promise.all([picture('0.png'), picture('1.png')]);
  return folderOf({
    'data.csv':
      'image,caption,dx,lesion_id,split\n' +
      'a.png,One.,nevus,L1,train\n' +
      'copy.png,Two.,nevus,L1,train\n' +
      'near.jpg,,melanoma,L2,test\n' +
      'cut.png,Three.,nevus,L3,test\n' +
      'gone.png,Four.,nevus,L4,\n' +
      '../outside.png,,,,\n' +
      ',Five.,,,\n' +
      'e.png,x,nevus,L5,train,surplus\n',
    'a.png': first,
    'images/copy.png': first,
    'images/near.jpg': await picture('0-recompressed.jpg'),
    'images/cut.png': second.subarray(0, 700),
    'e.png': second,
  });
}

it('says what a dataset is and counts what is wrong with it, with reasons', async () => {
  const steps: string[] = [];
  const report = await inspectDataset(await openDataset(await damagedDataset()), {
    threads: 1,
    onProgress: step => steps.push(step),
  });
  expect(report).toMatchObject({
    kind: 'csv',
    files: ['data.csv'],
    preset: null,
    mapping: { image: ['image'], captions: ['caption'], label: ['dx'], split: 'split', group: 'lesion_id' },
    rows: 8,
    images: 4,
    labels: { nevus: 5, melanoma: 1 },
    splits: { train: 3, test: 2 },
    groups: 5,
  });
  const counts = Object.fromEntries(
    Object.entries(report.findings).map(([state, { count }]) => [state, count]),
  );
  expect(counts).toEqual({
    missing: 1,
    'outside-root': 1,
    'no-image': 1,
    damaged: 1,
    unreadable: 1,
    duplicate: 1,
    'near-duplicate': 1,
  });
  const reason = (state: string): string => report.findings[state]!.examples[0]!.reason;
  expect(reason('missing')).toBe(
    '“data.csv”, row 5: it names “gone.png”, which is not in the dataset’s folder.',
  );
  expect(reason('damaged')).toBe('“data.csv”, row 8: it has 6 fields where the header has 5.');
  expect(reason('unreadable')).toMatch(/^“cut\.png” cannot be read as an image: /);
  expect(reason('duplicate')).toBe('the same bytes as a.png');
  expect(reason('near-duplicate')).toMatch(/^looks like a\.png \(\d bits? of 64 differ\)$/);
  expect(new Set(steps)).toEqual(new Set(['rows', 'images']));
});

it('opens no image when it is told not to', async () => {
  const report = await inspectDataset(await openDataset(await damagedDataset()), { content: false });
  expect(Object.keys(report.findings).sort()).toEqual(['damaged', 'missing', 'no-image', 'outside-root']);
});

it('examines single images for those who ask one by one', async () => {
  const root = await damagedDataset();
  const examiner = startExaminer({ threads: 1 });
  try {
    const [facts, refused] = await Promise.allSettled([
      examiner.examine({ root }, { path: 'a.png' }),
      examiner.examine({ root }, { path: 'images/cut.png' }),
    ]);
    expect(facts).toMatchObject({ status: 'fulfilled', value: { width: 96, height: 72 } });
    expect(refused).toMatchObject({ status: 'rejected', reason: { code: 'image-unreadable' } });
    await expect(examiner.examine({ root }, { path: 'a.png' }, AbortSignal.abort())).rejects.toMatchObject({
      name: 'AbortError',
    });
  } finally {
    await examiner.close();
  }
});
