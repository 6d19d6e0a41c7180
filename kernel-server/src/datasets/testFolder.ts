/** Folders of files for tests, removed after each. */
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import type { DatasetRow, DatasetSource, RowsOptions } from './source.js';

/** Fixtures written by the formats' own libraries. */
export const FIXTURES = fileURLToPath(new URL('../../../test/fixtures/datasets', import.meta.url));

/** One grey pixel. */
export const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==',
  'base64',
);

const made: string[] = [];

afterEach(async () => {
  for (const folder of made.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** @returns the real path of a new folder with these files; names that end in `.png` or `.jpg` may be listed alone */
export async function folderOf(
  files: Record<string, string | Uint8Array>,
  images: readonly string[] = [],
): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'dermcap-dataset-')));
  made.push(folder);
  const all: [string, string | Uint8Array][] = [
    ...Object.entries(files),
    ...images.map((name): [string, Uint8Array] => [name, PNG]),
  ];
  for (const [name, content] of all) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

export async function allRows(source: DatasetSource, options?: RowsOptions): Promise<DatasetRow[]> {
  const rows: DatasetRow[] = [];
  for await (const row of source.rows(options)) rows.push(row);
  return rows;
}
