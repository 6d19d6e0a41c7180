/** Tensors as graphs take them. */
import { Tensor } from 'onnxruntime-node';

export function int64(values: readonly number[], shape: readonly number[] = [values.length]): Tensor {
  return new Tensor('int64', BigInt64Array.from(values, BigInt), shape);
}

export function float32(values: readonly number[], shape: readonly number[]): Tensor {
  return new Tensor('float32', Float32Array.from(values), shape);
}

export function bool(value: boolean): Tensor {
  return new Tensor('bool', Uint8Array.of(value ? 1 : 0), []);
}

/** Preprocessed images, each [3, size, size] row-major, as one batch [B, 3, size, size]. */
export function pixelBatch(images: readonly Float32Array[], size: number): Tensor {
  const each = 3 * size * size;
  const batch = new Float32Array(images.length * each);
  images.forEach((image, i) => batch.set(image, i * each));
  return new Tensor('float32', batch, [images.length, 3, size, size]);
}
