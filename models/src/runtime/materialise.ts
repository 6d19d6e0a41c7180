/**
 * Makes every weight of a model an fp32 tensor lying contiguously in a file. What the checkpoint stores that way
 * (all but a few tensors of a real release) is used in place; the rest is computed into the cache, under the hash
 * of the bytes it was made from.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { WeightSource } from '../architecture/source.js';
import { sourceShape, sourceViews } from '../architecture/source.js';
import { readFloat32 } from '../checkpoint/read.js';
import { DTYPE_SIZE, elementCount, isContiguous } from '../checkpoint/tensor.js';
import type { TensorView } from '../checkpoint/tensor.js';
import type { Weight } from '../graph/builder.js';
import type { CacheUse } from './cacheUse.js';
import { digest } from './identity.js';

/** Raised when the way of computing changes, so that old cache entries are not found again. */
const RECIPE = 'fp32-v1';

/** Turns sources into weights, computing each distinct one once. */
export function materialiser(cache: CacheUse): (source: WeightSource) => Promise<Weight> {
  const made = new Map<string, Promise<Weight>>();
  return source => {
    const key = sourceViews(source)
      .map(
        view => `${view.file}@${view.offset}:${view.dtype}:${view.shape.join('x')}:${view.strides.join('x')}`,
      )
      .join('+');
    let weight = made.get(key);
    if (!weight) {
      weight = materialise(source, cache);
      made.set(key, weight);
    }
    return weight;
  };
}

async function materialise(source: WeightSource, cache: CacheUse): Promise<Weight> {
  if (source.kind === 'stored' && isUsableInPlace(source.view)) {
    const { file, offset, shape } = source.view;
    return { file, offset, shape };
  }
  const parts = await readParts(source);
  const shape = sourceShape(source);
  const scale = source.kind === 'lora' ? source.scale : 1;
  const name = digest(RECIPE, source.kind, JSON.stringify([shape, scale]), ...parts.map(bytesOf));
  const file = join(cache.dir, 'weights', `${name}.f32`);
  await cache.use(file);
  // Its size too: a machine that lost power may keep the name of a file without its content.
  const written = await stat(file).catch(() => null);
  if (written?.size !== DTYPE_SIZE.float32 * elementCount(shape)) {
    await cache.write(file, bytesOf(combined(source, parts)));
  }
  return { file, offset: 0, shape };
}

/** onnxruntime maps the file and computes on it where it lies: little-endian fp32, row-major, 4-byte aligned. */
function isUsableInPlace(view: TensorView): boolean {
  return view.dtype === 'float32' && isContiguous(view) && view.offset % DTYPE_SIZE.float32 === 0;
}

/** The stored tensors of a source as fp32, row-major. */
export function readParts(source: WeightSource): Promise<Float32Array[]> {
  return Promise.all(sourceViews(source).map(readFloat32));
}

/** What a source's stored tensors make together. */
export function combined(source: WeightSource, parts: Float32Array[]): Float32Array {
  return source.kind === 'lora' ? mergeLora(source, parts) : parts[0]!;
}

/**
 * base + scale · (B A)ᵀ as the layer computes `base(x) + B(A x) · scale` (sums in double precision).
 * @param parts base [in, out], A [r, in], B [out, r], row-major
 */
export function mergeLora(
  { base, a, scale }: Extract<WeightSource, { kind: 'lora' }>,
  [weight, down, up]: Float32Array[],
): Float32Array {
  const [inputs, outputs] = base.shape as [number, number];
  const rank = a.shape[0]!;
  const merged = new Float32Array(inputs * outputs);
  const row = new Float64Array(outputs);
  for (let i = 0; i < inputs; i++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const factor = down![r * inputs + i]! * scale;
      for (let o = 0; o < outputs; o++) row[o]! += factor * up![o * rank + r]!;
    }
    for (let o = 0; o < outputs; o++) merged[i * outputs + o] = weight![i * outputs + o]! + row[o]!;
  }
  return merged;
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
