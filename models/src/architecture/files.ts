import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DermcapError } from '../errors.js';

/** The first of these names that is a file in the folder, as a path; null when none is. */
export async function existingFile(folder: string, names: readonly string[]): Promise<string | null> {
  for (const name of names) {
    const path = join(folder, name);
    if (await isFile(path)) return path;
  }
  return null;
}

export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() ?? false;
}

export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() ?? false;
}

/**
 * The folder itself or, of a repository in the hub's cache (`models--owner--name`), the snapshot that its `main` points
 * at, else the only one there is. Layout: huggingface_hub, "Understand caching".
 * @throws DermcapError `snapshot-unclear` when it holds several and none is `main`
 */
export async function snapshotOf(folder: string): Promise<string> {
  const snapshots = await readdir(join(folder, 'snapshots')).catch(() => []);
  if (snapshots.length === 0) return folder;
  const main = await readFile(join(folder, 'refs', 'main'), 'utf8').catch(() => '');
  const named =
    snapshots.find(name => name === main.trim()) ?? (snapshots.length === 1 ? snapshots[0] : undefined);
  if (named === undefined)
    throw new DermcapError(
      'snapshot-unclear',
      `${folder} holds ${snapshots.length} snapshots and none is its main one.`,
      {
        hint: `Name one of them: ${join(folder, 'snapshots', snapshots[0]!)}`,
      },
    );
  return join(folder, 'snapshots', named);
}

/** @throws DermcapError `json-invalid` */
export function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (cause) {
    throw new DermcapError('json-invalid', `${path} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** @throws DermcapError `json-invalid` when the file is no JSON object */
export async function readJsonObject(path: string): Promise<Record<string, unknown>> {
  const value = parseJson(path, await readFile(path, 'utf8'));
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DermcapError('json-invalid', `${path} is no JSON object.`);
  return value as Record<string, unknown>;
}
