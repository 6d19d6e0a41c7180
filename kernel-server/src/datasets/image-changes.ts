/** What became of a study's images since they were last looked at. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';

/** An image as a study remembers it. */
export interface KnownImage {
  path: string;
  sha256: string;
  sizeBytes: number;
}

export interface Changes {
  /** Paths that were not known before and are not where a known image went. */
  added: string[];
  unchanged: string[];
  /** Another content under a known path. */
  changed: string[];
  /** The same content under a new path, while nothing is left at the old one. */
  moved: { from: string; to: string }[];
  /** Known, and nowhere now. */
  missing: string[];
}

/**
 * Compares what is known with what is there now.
 * @param before as the study has it
 * @param now every image that is there
 */
export function compareImages(
  before: Iterable<{ path: string; sha256: string }>,
  now: Iterable<{ path: string; sha256: string }>,
): Changes {
  const there = new Map<string, string>();
  for (const { path, sha256 } of now) there.set(path, sha256);
  const changes: Changes = { added: [], unchanged: [], changed: [], moved: [], missing: [] };
  const known = new Set<string>();
  const gone: { path: string; sha256: string }[] = [];
  for (const image of before) {
    known.add(image.path);
    const sha256 = there.get(image.path);
    if (sha256 === undefined) gone.push(image);
    else (sha256 === image.sha256 ? changes.unchanged : changes.changed).push(image.path);
  }
  const arrived = new Map<string, string[]>();
  for (const [path, sha256] of there) {
    if (known.has(path)) continue;
    const paths = arrived.get(sha256);
    if (paths) paths.push(path);
    else arrived.set(sha256, [path]);
  }
  for (const { path, sha256 } of gone) {
    // Of several copies each stands for one that is gone.
    const to = arrived.get(sha256)?.shift();
    if (to === undefined) changes.missing.push(path);
    else changes.moved.push({ from: path, to });
  }
  changes.added = [...arrived.values()].flat();
  return changes;
}

/**
 * Finds missing images among files that nothing is known of: only those of a missing image's size are read.
 * @param root real path
 * @param missing images that are not at their path any more
 * @param candidates paths relative to the root
 * @returns old and new paths; what is not found is left out
 */
export async function findMoved(
  root: string,
  missing: readonly KnownImage[],
  candidates: Iterable<string>,
  signal?: AbortSignal,
): Promise<{ from: string; to: string }[]> {
  const sizes = new Set(missing.map(image => image.sizeBytes));
  const limit = pLimit(8);
  const hashed = await Promise.all(
    [...candidates].map(path =>
      limit(async () => {
        signal?.throwIfAborted();
        const file = join(root, path);
        try {
          if (!sizes.has((await stat(file)).size)) return null;
          return { path, sha256: await sha256OfFile(file) };
        } catch {
          // Gone meanwhile, or not ours to read: not the one that is looked for.
          return null;
        }
      }),
    ),
  );
  return compareImages(
    missing,
    hashed.filter(image => image !== null),
  ).moved;
}

/** @returns lower-case hexadecimal */
export async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
