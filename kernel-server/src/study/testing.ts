/** For specs: studies in temporary folders, datasets of given rows, captions of given words. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import { Decoding } from '../contract/index.js';
import type { DatasetRow, DatasetSource, ImageFacts } from '../datasets/source.js';
import { storeCaptions, type NewCaption } from './captions.js';
import { importDataset, type ImportOptions, type ImportProgress } from './import.js';
import { openStudy, type StudyFile } from './open.js';

export interface TestStudy {
  folder: string;
  study: StudyFile;
  /** Imports rows given in short: a path, and what else there is to say. */
  import(rows: ShortRow[], options?: Partial<ImportOptions>): Promise<ImportProgress>;
  remove(): Promise<void>;
}

export type ShortRow = Partial<DatasetRow> & { path: string };

/** A new study in a folder with these files. */
export async function testStudy(files: Record<string, string> = {}): Promise<TestStudy> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'dermcap-study-')));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  const study = await openStudy(join(folder, 'my.dermcap'), { create: true });
  return {
    folder,
    study,
    import: (rows, options = {}) =>
      importDataset(study, dataset(folder, rows), { examine: hashes, ...options }),
    remove: async () => {
      await study.close();
      await rm(folder, { recursive: true });
    },
  };
}

export function dataset(root: string, rows: ShortRow[]): DatasetSource {
  return {
    kind: 'csv',
    root,
    files: ['table.csv'],
    count: rows.length,
    columns: async () => [],
    preview: async () => [],
    guess: () => Promise.reject(new Error('not asked for')),
    async *rows() {
      for (const [index, row] of rows.entries()) {
        yield { row: index + 1, manifest: 'table.csv', metadata: {}, references: [], ...row };
      }
    },
  };
}

/** The hash and the size of a file; what it shows does not matter here. */
async function hashes(source: DatasetSource, { path }: DatasetRow): Promise<ImageFacts> {
  const file = join(source.root, path);
  const bytes = await readFile(file).catch(() => {
    throw new DermcapError('no-such-file', `There is no “${path}”.`);
  });
  if (bytes.length === 0) throw new DermcapError('image-unreadable', `“${path}” is empty.`);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return {
    sizeBytes: bytes.length,
    sha256,
    width: 4,
    height: 3,
    format: 'png',
    perceptualHash: sha256.slice(0, 16),
    modifiedNs: String((await stat(file, { bigint: true })).mtimeNs),
  };
}

/** Gives an image, by its path, a caption of each stage that is named; returns their ids. */
export async function caption(
  { db }: StudyFile,
  path: string,
  captions: Partial<Record<NewCaption['stage'], string>>,
  rest: Partial<NewCaption> = {},
): Promise<number[]> {
  const image = await db
    .selectFrom('images')
    .select(['id', 'sha256'])
    .where('path', '=', path)
    .executeTakeFirstOrThrow();
  const made = Object.entries(captions).map(([stage, text]): NewCaption => ({
    stage: stage as NewCaption['stage'],
    caption: text,
    tokens: [1, 2],
    score: -0.5,
    release: { name: 'pair', sha256: `of-${stage}` },
    clip: { sha256: 'tower' },
    prompt: 'Say.',
    decoding: Decoding.parse({}),
    precision: 'exact',
    provider: 'cpu',
    preprocess: 'train-centre',
    autoOrient: true,
    ms: 10,
    ...rest,
  }));
  await db
    .transaction()
    .execute(transaction =>
      storeCaptions(transaction, { id: image.id, sha256: image.sha256! }, made, { runId: null, nowMs: 1 }),
    );
  const rows = await db
    .selectFrom('captions')
    .select('id')
    .where('image_id', '=', image.id)
    .orderBy('id')
    .execute();
  return rows.map(({ id }) => id);
}
