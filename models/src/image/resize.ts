/**
 * Pillow's resampling, bit for bit: two passes (horizontal, then vertical) over 8-bit pixels with fixed-point
 * coefficients, antialiased when shrinking. Source of the arithmetic: Pillow, src/libImaging/Resample.c.
 */
import type { RgbImage } from './decode.js';

/** Fractional bits of a coefficient: 32 − 8 (pixel) − 2 (headroom). */
const PRECISION_BITS = 22;
/** Pillow's bicubic. */
const A = -0.5;
const SUPPORT = 2;

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

interface Coefficients {
  /** First source pixel and number of source pixels of every output pixel. */
  bounds: Int32Array;
  /** `size` coefficients per output pixel. */
  values: Int32Array;
  size: number;
}

/** Bicubic resize of a part of an image, as Pillow 13 does it. */
export function resizeBicubic(image: RgbImage, box: Box, width: number, height: number): RgbImage {
  const horizontal = coefficients(image.width, box.left, box.right, width);
  const vertical = coefficients(image.height, box.top, box.bottom, height);
  const needsHorizontal = width !== image.width || box.left !== 0 || box.right !== image.width;
  const needsVertical = height !== image.height || box.top !== 0 || box.bottom !== image.height;
  // Pillow ≥ 13 begins with the pass that takes away much more; rounding between the passes makes this visible.
  const removed = image.height - height;
  const verticalFirst = removed > 0 && removed > 2 * (image.width - width);
  if (verticalFirst) {
    let { data } = image;
    if (needsVertical) data = resampleColumns(data, image.width, 0, image.width, height, vertical);
    if (needsHorizontal) data = resampleRows(data, image.width, 0, height, width, horizontal);
    return { width, height, data };
  }
  const last = vertical.bounds[2 * (height - 1)]! + vertical.bounds[2 * (height - 1) + 1]!;
  const first = needsHorizontal ? vertical.bounds[0]! : 0;
  let { data } = image;
  if (needsHorizontal) data = resampleRows(data, image.width, first, last, width, horizontal);
  if (needsVertical) data = resampleColumns(data, width, first, width, height, vertical);
  return { width, height, data };
}

function cubic(x: number): number {
  x = Math.abs(x);
  if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * A;
  return 0;
}

function coefficients(inputSize: number, from: number, to: number, outputSize: number): Coefficients {
  const scale = (to - from) / outputSize;
  const filterScale = Math.max(scale, 1);
  const support = SUPPORT * filterScale;
  const size = Math.ceil(support) * 2 + 1;
  const bounds = new Int32Array(2 * outputSize);
  const values = new Int32Array(outputSize * size);
  const weights = new Float64Array(size);
  const inverse = 1 / filterScale;
  for (let x = 0; x < outputSize; x++) {
    const centre = from + (x + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(inputSize, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let i = 0; i < count; i++) {
      weights[i] = cubic((i + start - centre + 0.5) * inverse);
      sum += weights[i]!;
    }
    for (let i = 0; i < count; i++) {
      const weight = sum === 0 ? weights[i]! : weights[i]! / sum;
      values[x * size + i] = Math.trunc(weight * (1 << PRECISION_BITS) + (weight < 0 ? -0.5 : 0.5));
    }
    bounds[2 * x] = start;
    bounds[2 * x + 1] = count;
  }
  return { bounds, values, size };
}

const HALF = 1 << (PRECISION_BITS - 1);

function clip(sum: number): number {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function resampleRows(
  data: Uint8Array,
  inputWidth: number,
  first: number,
  last: number,
  width: number,
  { bounds, values, size }: Coefficients,
): Uint8Array {
  const result = new Uint8Array((last - first) * width * 3);
  for (let y = first; y < last; y++) {
    const row = y * inputWidth * 3;
    let out = (y - first) * width * 3;
    for (let x = 0; x < width; x++, out += 3) {
      const count = bounds[2 * x + 1]!;
      let at = row + bounds[2 * x]! * 3;
      let [r, g, b] = [HALF, HALF, HALF];
      for (let i = 0, k = x * size; i < count; i++, k++, at += 3) {
        const value = values[k]!;
        r += data[at]! * value;
        g += data[at + 1]! * value;
        b += data[at + 2]! * value;
      }
      result[out] = clip(r);
      result[out + 1] = clip(g);
      result[out + 2] = clip(b);
    }
  }
  return result;
}

function resampleColumns(
  data: Uint8Array,
  stride: number,
  from: number,
  width: number,
  height: number,
  { bounds, values, size }: Coefficients,
): Uint8Array {
  const result = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    const start = bounds[2 * y]! - from;
    const count = bounds[2 * y + 1]!;
    for (let x = 0; x < width * 3; x++) {
      let sum = HALF;
      for (let i = 0; i < count; i++) sum += data[(start + i) * stride * 3 + x]! * values[y * size + i]!;
      result[y * width * 3 + x] = clip(sum);
    }
  }
  return result;
}
