/** Element types that checkpoints of this family use. Sizes in bytes: {@link DTYPE_SIZE}. */
export type DType =
  'float64' | 'float32' | 'float16' | 'bfloat16' | 'int64' | 'int32' | 'int16' | 'int8' | 'uint8' | 'bool';

export const DTYPE_SIZE: Record<DType, number> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
};

/**
 * A tensor that stays where it lies: a view (file, byte offset, shape, strides) into a checkpoint file.
 * No weight is held in JavaScript memory until someone reads it.
 */
export interface TensorView {
  readonly file: string;
  /** Byte offset in `file` of element [0, …, 0]. */
  readonly offset: number;
  readonly dtype: DType;
  /** `[]` for a 0-dimensional tensor. */
  readonly shape: readonly number[];
  /** In elements, as PyTorch's. */
  readonly strides: readonly number[];
  /** Identity of the storage within its file: tensors that share one (tied weights) have equal keys. */
  readonly storage: string;
}

/** Number of elements; 1 for a 0-dimensional tensor. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Whether the elements lie in row-major order without gaps, so that a byte range is the tensor. */
export function isContiguous(view: Pick<TensorView, 'shape' | 'strides'>): boolean {
  let expected = 1;
  for (let axis = view.shape.length - 1; axis >= 0; axis--) {
    const size = view.shape[axis]!;
    if (size !== 1 && view.strides[axis] !== expected) return elementCount(view.shape) === 0;
    expected *= size;
  }
  return true;
}

/** Bytes of a contiguous tensor of this type and shape. */
export function byteLength(view: Pick<TensorView, 'shape' | 'dtype'>): number {
  return elementCount(view.shape) * DTYPE_SIZE[view.dtype];
}
