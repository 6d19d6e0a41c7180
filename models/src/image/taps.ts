/** What each output pixel of one axis is summed from: Pillow's bicubic coefficients (Pillow 13, Resample.c). */

/** Fractional bits of a weight: 32 − 8 (pixel) − 2 (headroom). */
export const PRECISION_BITS = 22;
/** Pillow's bicubic. */
const A = -0.5;
const SUPPORT = 2;

export interface Taps {
  /** Number of output pixels. */
  readonly outputs: number;
  /** The source pixels that any output pixel needs: `first` up to and without `end`. */
  readonly first: number;
  readonly end: number;
  /** Per output pixel, its first source pixel, counted from `first`, and how many follow. */
  readonly bounds: Int32Array;
  /** `size` weights per output pixel, in 2⁻²². */
  readonly weights: Int32Array;
  readonly size: number;
}

/** For the output pixels `from` … `from + outputs` of one axis. */
export function bicubicTaps(inputSize: number, outputSize: number, from: number, outputs: number): Taps {
  const scale = inputSize / outputSize;
  const filterScale = Math.max(scale, 1);
  const support = SUPPORT * filterScale;
  const size = Math.ceil(support) * 2 + 1;
  const bounds = new Int32Array(2 * outputs);
  const weights = new Int32Array(outputs * size);
  const exact = new Float64Array(size);
  const inverse = 1 / filterScale;
  let [first, end] = [0, 0];
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
    if (x === 0) first = start;
    end = start + count;
    bounds[2 * x] = start - first;
    bounds[2 * x + 1] = count;
  }
  return { outputs, first, end, bounds, weights, size };
}

function cubic(x: number): number {
  x = Math.abs(x);
  if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * A;
  return 0;
}
