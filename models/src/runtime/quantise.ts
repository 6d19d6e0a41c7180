/**
 * Int8 twins of weight matrices: one scale per output channel, so that the largest magnitude of a channel becomes 127.
 * Written once into the cache, under the hash of what is written; which matrix of which file it came from is
 * remembered by the file's identity, so that no checkpoint is read again.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sourceShape, sourceViews } from '../architecture/source.js';
import type { WeightSource } from '../architecture/source.js';
import type { Weight } from '../graph/builder.js';
import type { Int8Matrix } from '../graph/weights.js';
import { cachedJson, fileIdentity } from './cache.js';
import type { CacheUse } from './cacheUse.js';
import { digest } from './identity.js';
import { combined, readParts } from './materialise.js';

/** Which way round a matrix lies in its file: GPT-2's Conv1D or PyTorch's Linear. */
export type Layout = 'in-out' | 'out-in';

/** int8 where the processor multiplies it exactly, else uint8 with zero point 128 (see `int8.ts`). */
export type Int8Type = 'int8' | 'uint8';

/** Raised when the way of quantising changes. */
const RECIPE = 'int8-v1';
const LARGEST = 127;
/** Rounds half up when the fraction is cut off, with zero point 128: several times as fast as Math.round. */
const HALF_UP = 128.5;
const ALIGNMENT = 64;
/** Rows and columns transposed together. */
const TILE = 64;

/**
 * The int8 twin of a matrix, from the cache or made now.
 * @param onMake called before one is made
 */
export async function int8Matrix(
  source: WeightSource,
  layout: Layout,
  type: Int8Type,
  cache: CacheUse,
  onMake: () => void = () => {},
): Promise<Int8Matrix> {
  const [rows, columns] = sourceShape(source) as [number, number];
  const [inputs, outputs] = layout === 'in-out' ? [rows, columns] : [columns, rows];
  const scalesAt = Math.ceil((inputs * outputs) / ALIGNMENT) * ALIGNMENT;
  const size = scalesAt + 4 * outputs;
  const pathOf = (name: string) => join(cache.dir, 'int8', `${name}.int8`);
  const make = async () => {
    onMake();
    const bytes = new Uint8Array(size);
    quantise(combined(source, await readParts(source)), [inputs, outputs], layout, type, bytes, scalesAt);
    const name = digest(bytes);
    if (!(await isWhole(pathOf(name), size))) await cache.write(pathOf(name), bytes);
    return name;
  };
  const index = join(cache.dir, 'int8-index', `${await sourceKey(source, layout, type)}.json`);
  let name = await cachedJson(index, make);
  await cache.use(pathOf(name));
  // The cache may be cleared in parts.
  if (!(await isWhole(pathOf(name), size))) name = await make();
  const file = pathOf(name);
  return {
    precision: 'int8',
    values: { file, offset: 0, shape: [inputs, outputs], type },
    scales: { file, offset: scalesAt, shape: [outputs] } satisfies Weight,
  };
}

async function isWhole(path: string, size: number): Promise<boolean> {
  return (await stat(path).catch(() => null))?.size === size;
}

async function sourceKey(source: WeightSource, layout: Layout, type: Int8Type): Promise<string> {
  const views = sourceViews(source);
  const identities = await Promise.all(views.map(view => fileIdentity(view.file)));
  const places = views.map(({ offset, dtype, shape, strides }) => [offset, dtype, shape, strides]);
  const scale = source.kind === 'lora' ? source.scale : 1;
  return digest(RECIPE, JSON.stringify([identities, places, source.kind, scale, layout, type]));
}

/**
 * Writes values [in, out] and, from `scalesAt` on, scales [out] into `bytes`.
 * @param matrix row-major, the way round that `layout` says
 */
export function quantise(
  matrix: Float32Array,
  [inputs, outputs]: readonly [number, number],
  layout: Layout,
  type: Int8Type,
  bytes: Uint8Array,
  scalesAt: number,
): void {
  const scales = new Float32Array(bytes.buffer, bytes.byteOffset + scalesAt, outputs);
  const inverse = new Float64Array(outputs);
  const flip = type === 'uint8' ? 0 : 0x80; // from zero point 128 to 0
  const [rows, columns] = layout === 'in-out' ? [inputs, outputs] : [outputs, inputs];
  const isTransposed = layout === 'out-in';
  for (let row = 0, at = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, at++) {
      const output = isTransposed ? row : column;
      const magnitude = Math.abs(matrix[at]!);
      if (magnitude > scales[output]!) scales[output] = magnitude;
    }
  for (let o = 0; o < outputs; o++) inverse[o] = scales[o]! > 0 ? LARGEST / scales[o]! : 0;
  if (isTransposed) {
    // Tile by tile: written down the columns, a whole matrix would miss the processor's cache at every byte.
    for (let o0 = 0; o0 < outputs; o0 += TILE)
      for (let i0 = 0; i0 < inputs; i0 += TILE)
        for (let o = o0; o < Math.min(o0 + TILE, outputs); o++)
          for (let i = i0; i < Math.min(i0 + TILE, inputs); i++)
            bytes[i * outputs + o] = ((matrix[o * inputs + i]! * inverse[o]! + HALF_UP) | 0) ^ flip;
  } else {
    for (let i = 0, at = 0; i < inputs; i++)
      for (let o = 0; o < outputs; o++, at++) bytes[at] = ((matrix[at]! * inverse[o]! + HALF_UP) | 0) ^ flip;
  }
  for (let o = 0; o < outputs; o++) scales[o]! /= LARGEST;
}
