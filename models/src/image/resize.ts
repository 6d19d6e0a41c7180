/**
 * Pillow's resampling, bit for bit: two passes over 8-bit pixels with fixed-point coefficients, antialiased when
 * shrinking. Source of the arithmetic: Pillow 13, src/libImaging/Resample.c. Which pass comes first is visible in
 * the pixels, since what lies between them is rounded: docs/decisions/003-pillow-13-order-of-passes.md.
 */
import type { RgbImage } from './decode.js';

/** Fractional bits of a coefficient: 32 − 8 (pixel) − 2 (headroom). */
const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);
/** Pillow's bicubic. */
const A = -0.5;
const SUPPORT = 2;

export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Pixels of `data` from byte `start`, `stride` bytes a row. */
interface Plane {
  readonly data: Uint8Array;
  readonly start: number;
  readonly stride: number;
}

/** What each output pixel of one axis is summed from. */
interface Taps {
  /** Number of output pixels. */
  readonly outputs: number;
  /** First source pixel and number of source pixels, per output pixel. */
  readonly bounds: Int32Array;
  /** `size` coefficients per output pixel. */
  readonly weights: Int32Array;
  readonly size: number;
  /** The source pixels that any output pixel needs: `first` up to and without `end`. */
  readonly first: number;
  readonly end: number;
}

/**
 * Bicubic resize of the part `source` of an image to width × height, as Pillow's `image.crop(…).resize(…)`.
 * Only `window` of the result is computed and returned: all of it unless given.
 */
export function resizeBicubic(
  image: RgbImage,
  source: Rectangle,
  width: number,
  height: number,
  window: Rectangle = { left: 0, top: 0, width, height },
): RgbImage {
  const horizontal = bicubicTaps(source.width, width, window.left, window.width);
  const vertical = bicubicTaps(source.height, height, window.top, window.height);
  const stride = image.width * 3;
  const start = source.top * stride + source.left * 3;
  const result = (data: Uint8Array) => ({ width: window.width, height: window.height, data });

  const removedRows = source.height - height;
  const removedColumns = source.width - width;
  if (removedRows > 0 && removedRows > 2 * removedColumns) {
    const columns = horizontal.end - horizontal.first;
    const part = { data: image.data, start: start + horizontal.first * 3, stride };
    const between = resampleColumns(part, columns, vertical);
    const rest = { data: between, start: -horizontal.first * 3, stride: columns * 3 };
    return result(resampleRows(rest, vertical.outputs, horizontal));
  }
  const rows = vertical.end - vertical.first;
  const part = { data: image.data, start: start + vertical.first * stride, stride };
  const between = resampleRows(part, rows, horizontal);
  const rest = {
    data: between,
    start: -vertical.first * horizontal.outputs * 3,
    stride: horizontal.outputs * 3,
  };
  return result(resampleColumns(rest, horizontal.outputs, vertical));
}

function cubic(x: number): number {
  x = Math.abs(x);
  if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * A;
  return 0;
}

/** For the output pixels `from` … `from + outputs` of one axis. */
function bicubicTaps(inputSize: number, outputSize: number, from: number, outputs: number): Taps {
  const scale = inputSize / outputSize;
  const filterScale = Math.max(scale, 1);
  const support = SUPPORT * filterScale;
  const size = Math.ceil(support) * 2 + 1;
  const bounds = new Int32Array(2 * outputs);
  const weights = new Int32Array(outputs * size);
  const exact = new Float64Array(size);
  const inverse = 1 / filterScale;
  let [first, end] = [inputSize, 0];
  for (let x = 0; x < outputs; x++) {
    const centre = (from + x + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(inputSize, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      exact[i] = cubic((i + start - centre + 0.5) * inverse);
      sum += exact[i]!;
    }
    for (let i = 0; i < count; i++) {
      const weight = sum === 0 ? exact[i]! : exact[i]! / sum;
      weights[x * size + i] = Math.trunc(weight * (1 << PRECISION_BITS) + (weight < 0 ? -0.5 : 0.5));
    }
    bounds[2 * x] = start;
    bounds[2 * x + 1] = count;
    first = Math.min(first, start);
    end = Math.max(end, start + count);
  }
  return { outputs, bounds, weights, size, first, end };
}

function clip(sum: number): number {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** @returns [rows, taps.outputs, 3]. int32 throughout, as in Pillow: the headroom keeps the sums inside. */
function resampleRows({ data, start, stride }: Plane, rows: number, taps: Taps): Uint8Array {
  const { outputs, bounds, weights, size } = taps;
  const result = new Uint8Array(rows * outputs * 3);
  let out = 0;
  for (let y = 0; y < rows; y++) {
    const row = start + y * stride;
    for (let x = 0; x < outputs; x++) {
      let at = row + bounds[2 * x]! * 3;
      const end = at + bounds[2 * x + 1]! * 3;
      let r = HALF;
      let g = HALF;
      let b = HALF;
      for (let k = x * size; at < end; k++, at += 3) {
        const weight = weights[k]!;
        r = (r + Math.imul(data[at]!, weight)) | 0;
        g = (g + Math.imul(data[at + 1]!, weight)) | 0;
        b = (b + Math.imul(data[at + 2]!, weight)) | 0;
      }
      result[out++] = clip(r);
      result[out++] = clip(g);
      result[out++] = clip(b);
    }
  }
  return result;
}

/** @returns [taps.outputs, columns, 3]. Sums whole rows at a time: memory is read in its order. */
function resampleColumns({ data, start, stride }: Plane, columns: number, taps: Taps): Uint8Array {
  const { outputs, bounds, weights, size } = taps;
  const values = columns * 3;
  const result = new Uint8Array(outputs * values);
  const sums = new Int32Array(values);
  for (let y = 0; y < outputs; y++) {
    sums.fill(HALF);
    const count = bounds[2 * y + 1]!;
    for (let i = 0; i < count; i++) {
      const row = start + (bounds[2 * y]! + i) * stride;
      const weight = weights[y * size + i]!;
      for (let x = 0; x < values; x++) sums[x] = (sums[x]! + Math.imul(data[row + x]!, weight)) | 0;
    }
    for (let x = 0; x < values; x++) result[y * values + x] = clip(sums[x]!);
  }
  return result;
}
