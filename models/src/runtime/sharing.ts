/**
 * Which weights two stages share: found by comparing bytes, never assumed. Comparisons of large tensors are
 * remembered by the files' identities.
 */
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { eachSource, sourceShape, sourceViews } from '../architecture/source.js';
import type { WeightSource } from '../architecture/source.js';
import { DTYPE_SIZE, elementCount, isContiguous } from '../checkpoint/tensor.js';
import type { TensorView } from '../checkpoint/tensor.js';
import { cachedJson, fileIdentity } from './cache.js';
import { digest } from './identity.js';

const FIRST_LOOK_BYTES = 64 << 10;
/** Small enough for both sides to stay in the processor's cache. */
const CHUNK_BYTES = 1 << 20;

/** Open files, and a buffer for each side of a comparison. */
interface Reading {
  files: ReadonlyMap<string, FileHandle>;
  buffers: readonly [Buffer, Buffer];
}

export interface Sharing {
  /** Path of a weight in the model ("gpt2.blocks.3.mlp.up.weight") → are the two equal, and its stored bytes. */
  weights: Record<string, { equal: boolean; bytes: number }>;
}

/** Compares two models weight by weight. Weights of different shape or kind are different. */
export async function compareWeights(a: object, b: object, cacheDir: string): Promise<Sharing> {
  const left = new Map(eachSource(a));
  const right = new Map(eachSource(b));
  const files = new Set([...left.values(), ...right.values()].flatMap(s => sourceViews(s).map(v => v.file)));
  const identities = await Promise.all([...files].map(fileIdentity));
  // The views, not the files alone: the same file may be read as different models.
  const layout = [...left, ...right].map(([path, s]) => [path, sourceViews(s).map(v => [v.file, v.offset])]);
  const key = digest('sharing-v1', JSON.stringify(identities), JSON.stringify(layout));
  return cachedJson(join(cacheDir, 'sharing', `${key}.json`), async () => {
    const handles = new Map<string, FileHandle>();
    const reading: Reading = {
      files: handles,
      buffers: [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)],
    };
    try {
      for (const file of files) handles.set(file, await open(file));
      const weights: Sharing['weights'] = {};
      for (const [path, source] of left) {
        const other = right.get(path);
        const equal = other !== undefined && (await sourcesEqual(source, other, reading));
        weights[path] = {
          equal,
          bytes: sourceViews(source).reduce((sum, view) => sum + storedBytes(view), 0),
        };
      }
      return { weights };
    } finally {
      await Promise.all([...handles.values()].map(handle => handle.close()));
    }
  });
}

/** Whether all weights of a block are equal. */
export function blockIsEqual(sharing: Sharing, block: number): boolean {
  return sharesAll(sharing, `gpt2.blocks.${block}`);
}

/** Whether all weights under these paths are equal. */
export function sharesAll(sharing: Sharing, ...prefixes: string[]): boolean {
  return Object.entries(sharing.weights).every(
    ([path, { equal }]) =>
      equal || !prefixes.some(prefix => path === prefix || path.startsWith(`${prefix}.`)),
  );
}

async function sourcesEqual(a: WeightSource, b: WeightSource, reading: Reading): Promise<boolean> {
  if (a.kind !== b.kind || sourceShape(a).join() !== sourceShape(b).join()) return false;
  if (a.kind === 'lora' && b.kind === 'lora' && a.scale !== b.scale) return false;
  const [left, right] = [sourceViews(a), sourceViews(b)];
  for (const [i, view] of left.entries()) if (!(await viewsEqual(view, right[i]!, reading))) return false;
  return true;
}

async function viewsEqual(a: TensorView, b: TensorView, { files, buffers }: Reading): Promise<boolean> {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false;
  if (a.file === b.file && a.offset === b.offset && a.strides.join() === b.strides.join()) return true;
  // A strided tensor may be equal to a contiguous one; calling them different costs speed, never correctness.
  if (!isContiguous(a) || !isContiguous(b)) return false;
  const bytes = storedBytes(a);
  for (let done = 0; done < bytes;) {
    const length = Math.min(done === 0 ? FIRST_LOOK_BYTES : CHUNK_BYTES, bytes - done);
    const [left, right] = await Promise.all([
      files.get(a.file)!.read(buffers[0], 0, length, a.offset + done),
      files.get(b.file)!.read(buffers[1], 0, length, b.offset + done),
    ]);
    const isEqual = buffers[0].compare(buffers[1], 0, length, 0, length) === 0;
    if (left.bytesRead !== length || right.bytesRead !== length || !isEqual) return false;
    done += length;
  }
  return true;
}

function storedBytes(view: TensorView): number {
  return elementCount(view.shape) * DTYPE_SIZE[view.dtype];
}
