import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { cachedJson, fileIdentity } from './cache.js';

/** SHA-256 of a whole file, in hex; computed once per state of the file (1.7 GB take a second or two). */
export async function fileSha256(path: string, cacheDir: string): Promise<string> {
  return cachedJson(await hashEntry(path, cacheDir), async () => {
    const hash = createHash('sha256');
    await pipeline(createReadStream(path, { highWaterMark: 4 << 20 }), hash);
    return hash.digest('hex');
  });
}

/** Where the hash of a file's present state is remembered. */
export async function hashEntry(path: string, cacheDir: string): Promise<string> {
  return join(cacheDir, 'sha256', `${digest(await fileIdentity(path))}.json`);
}

export function digest(...parts: (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}
