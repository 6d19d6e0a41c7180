import { stat } from 'node:fs/promises';
import { fileSha256, hashEntry } from './identity.js';
import { Thread } from './thread.js';
import { workerScript } from './workerScript.js';

/**
 * SHA-256 of files, each computed once per state of the file. What is not known yet is hashed in threads, so that
 * models are loaded meanwhile.
 * @returns path → hex
 */
export async function hashFiles(paths: readonly string[], cacheDir: string): Promise<Map<string, string>> {
  const hash = async (path: string) => {
    const isKnown = await stat(await hashEntry(path, cacheDir)).catch(() => null);
    if (isKnown) return fileSha256(path, cacheDir);
    const thread = new Thread(workerScript(), 'hashing thread');
    try {
      return await thread.call<string>('sha256', [path, cacheDir]);
    } finally {
      await thread.end();
    }
  };
  const distinct = [...new Set(paths)];
  const hashes = await Promise.all(distinct.map(hash));
  return new Map(distinct.map((path, i) => [path, hashes[i]!]));
}
