/**
 * A tensor's values. The machine is little-endian, as checkpoints are and as onnxruntime demands.
 */
import { DermcapError } from '../errors.js';
import { FileSource } from './byteSource.js';
import { GATHER_BLOCK_BYTES, MAX_READ_ELEMENTS } from './limits.js';
import { byteLength, DTYPE_SIZE, elementCount, isContiguous } from './tensor.js';
import type { DType, TensorView } from './tensor.js';

/** Whether a value of a checkpoint is a tensor. */
export function isTensorView(value: unknown): value is TensorView {
  if (typeof value !== 'object' || value === null) return false;
  const view = value as Partial<TensorView>;
  return (
    typeof view.file === 'string' &&
    typeof view.offset === 'number' &&
    typeof view.dtype === 'string' &&
    Object.hasOwn(DTYPE_SIZE, view.dtype) &&
    Array.isArray(view.shape) &&
    Array.isArray(view.strides)
  );
}

/**
 * A tensor's values in row-major order as fp32: wider types are rounded, booleans become 0 and 1.
 * @throws DermcapError `tensor-too-large` | `checkpoint-truncated` | as opening the file does
 */
export async function readFloat32(view: TensorView): Promise<Float32Array> {
  checkSize(view);
  const values = new Float32Array(elementCount(view.shape));
  if (values.length === 0) return values;
  const source = await FileSource.open(view.file);
  try {
    if (!isContiguous(view)) await gather(source, view, values);
    else if (view.dtype === 'float32') await source.readInto(bytesOf(values), view.offset);
    else {
      const step = GATHER_BLOCK_BYTES / DTYPE_SIZE[view.dtype];
      for (let i = 0; i < values.length; i += step) {
        const count = Math.min(step, values.length - i);
        values.set(await readElements(source, view, i, count), i);
      }
    }
    return values;
  } finally {
    await source.close();
  }
}

/**
 * The bytes of a contiguous tensor as they lie in the file.
 * @throws DermcapError `tensor-not-contiguous` | `tensor-too-large` | `checkpoint-truncated`
 */
export async function readBytes(view: TensorView): Promise<Uint8Array> {
  checkSize(view);
  if (!isContiguous(view))
    throw new DermcapError(
      'tensor-not-contiguous',
      `The tensor at byte ${view.offset} of ${view.file} is strided: its bytes are not one run.`,
    );
  const bytes = new Uint8Array(byteLength(view));
  if (bytes.length === 0) return bytes;
  const source = await FileSource.open(view.file);
  try {
    await source.readInto(bytes, view.offset);
    return bytes;
  } finally {
    await source.close();
  }
}

interface Axis {
  readonly size: number;
  /** Elements between neighbours, in the file and in the result. */
  readonly stride: number;
  readonly outStride: number;
}

/**
 * Fills `values` from a strided tensor. Axes are taken from the widest stride to the narrowest, so that the file is
 * read in rising blocks of a bounded size, each once, whatever the axes' order in the tensor.
 */
async function gather(source: FileSource, view: TensorView, values: Float32Array): Promise<void> {
  let outStride = values.length;
  const axes: Axis[] = view.shape
    .map((size, axis) => ({ size, stride: view.strides[axis]!, outStride: (outStride /= size) }))
    .filter(({ size }) => size > 1)
    .sort((a, b) => b.stride - a.stride);
  const blockElements = GATHER_BLOCK_BYTES / DTYPE_SIZE[view.dtype];

  const visit = async (level: number, from: number, to: number): Promise<void> => {
    const axis = axes[level]!;
    const inner = axes.slice(level + 1);
    const innerSpan = span(inner);
    // Never at the innermost axis, where the span of what lies inside is one element
    if (innerSpan > blockElements) {
      for (let i = 0; i < axis.size; i++)
        await visit(level + 1, from + i * axis.stride, to + i * axis.outStride);
      return;
    }
    const perBlock =
      axis.stride === 0 ? axis.size : 1 + Math.floor((blockElements - innerSpan) / axis.stride);
    for (let i = 0; i < axis.size; i += perBlock) {
      const part = [{ ...axis, size: Math.min(perBlock, axis.size - i) }, ...inner];
      const block = await readElements(source, view, from + i * axis.stride, span(part));
      scatter(block, 0, values, to + i * axis.outStride, part, 0);
    }
  };
  await visit(0, 0, 0);
}

/** Elements from the first to the last of a part of a tensor, gaps included. */
function span(axes: readonly Axis[]): number {
  return axes.reduce((last, { size, stride }) => last + (size - 1) * stride, 1);
}

function scatter(
  block: ArrayLike<number>,
  from: number,
  values: Float32Array,
  to: number,
  axes: readonly Axis[],
  level: number,
): void {
  const { size, stride, outStride } = axes[level]!;
  if (level === axes.length - 1)
    for (let i = 0; i < size; i++) values[to + i * outStride] = block[from + i * stride]!;
  else
    for (let i = 0; i < size; i++)
      scatter(block, from + i * stride, values, to + i * outStride, axes, level + 1);
}

/** `count` neighbouring elements of a tensor's file, beginning `first` elements behind the tensor's own. */
async function readElements(
  source: FileSource,
  { offset, dtype }: TensorView,
  first: number,
  count: number,
): Promise<ArrayLike<number>> {
  const size = DTYPE_SIZE[dtype];
  const { buffer } = await source.read(offset + first * size, count * size);
  return decode(dtype, buffer);
}

function decode(dtype: DType, buffer: ArrayBuffer): ArrayLike<number> {
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer);
    case 'float64':
      return new Float64Array(buffer);
    case 'float16':
      return widen(new Uint16Array(buffer), halfBits);
    case 'bfloat16':
      return widen(new Uint16Array(buffer), bits => bits << 16);
    case 'int64':
      return Float32Array.from(new BigInt64Array(buffer), Number);
    case 'int32':
      return new Int32Array(buffer);
    case 'int16':
      return new Int16Array(buffer);
    case 'int8':
      return new Int8Array(buffer);
    case 'uint8':
      return new Uint8Array(buffer);
    case 'bool':
      return new Uint8Array(buffer).map(byte => (byte === 0 ? 0 : 1));
  }
}

function widen(halves: Uint16Array, toBits: (half: number) => number): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = toBits(halves[i]!);
  return new Float32Array(bits.buffer);
}

/** IEEE 754 binary16 → the bits of the equal binary32. */
function halfBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  let fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  let shift = 0; // subnormal: in binary32 it is not
  while ((fraction & 0x400) === 0) {
    fraction <<= 1;
    shift++;
  }
  return sign | ((113 - shift) << 23) | ((fraction & 0x3ff) << 13);
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function checkSize(view: TensorView): void {
  if (elementCount(view.shape) > MAX_READ_ELEMENTS)
    throw new DermcapError(
      'tensor-too-large',
      `A tensor of shape [${view.shape.join(', ')}] in ${view.file} is too large to be read at once.`,
    );
}
