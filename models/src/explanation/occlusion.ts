/**
 * Occlusion: how much the log-likelihood of a text falls when a window of the image is covered.
 * Source: Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014.
 */
import { DermcapError } from '../errors.js';

/** Windows over the tower's patch grid, all in patches. */
export interface OcclusionOptions {
  /** Side of the square that is covered. */
  window: number;
  /** From one window to the next; not more than the window, so that every patch is covered. */
  stride: number;
}

/** Rows and columns of the grid, `to` not included. */
export interface Window {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

/**
 * The windows in reading order. The last of a row or column lies at the grid's edge.
 * @throws DermcapError `saliency-options`
 */
export function occlusionWindows(grid: number, { window, stride }: OcclusionOptions): Window[] {
  const isWhole = (n: number) => Number.isInteger(n) && n >= 1;
  if (!isWhole(window) || window > grid)
    throw new DermcapError(
      'saliency-options',
      `The window is ${window} patches; it must be a whole number from 1 to ${grid}.`,
    );
  if (!isWhole(stride) || stride > window)
    throw new DermcapError(
      'saliency-options',
      `The stride is ${stride} patches; it must be a whole number from 1 to the window's ${window}, so that no patch is left out.`,
    );
  const starts: number[] = [];
  for (let start = 0; start < grid - window; start += stride) starts.push(start);
  starts.push(grid - window);
  return starts.flatMap(top =>
    starts.map(left => ({ top, bottom: top + window, left, right: left + window })),
  );
}

/**
 * The image with a window set to 0, which is the mean colour of the tower's training images.
 * @param pixels [3, size, size], normalised
 */
export function occlude(pixels: Float32Array, size: number, patch: number, window: Window): Float32Array {
  const covered = pixels.slice();
  for (let channel = 0; channel < 3; channel++)
    for (let y = window.top * patch; y < window.bottom * patch; y++) {
      const row = (channel * size + y) * size;
      covered.fill(0, row + window.left * patch, row + window.right * patch);
    }
  return covered;
}

/**
 * Each patch's mean fall in log-likelihood (nats) over the windows that cover it.
 * @param scores log-likelihood under each window, in the order of `windows`
 * @returns [grid, grid]
 */
export function occlusionMap(
  grid: number,
  windows: readonly Window[],
  whole: number,
  scores: readonly number[],
): Float32Array {
  const sums = new Float64Array(grid * grid);
  const counts = new Uint32Array(grid * grid);
  windows.forEach(({ top, bottom, left, right }, i) => {
    for (let y = top; y < bottom; y++)
      for (let x = left; x < right; x++) {
        sums[y * grid + x]! += whole - scores[i]!;
        counts[y * grid + x]!++;
      }
  });
  return Float32Array.from(sums, (sum, cell) => sum / counts[cell]!);
}
