/**
 * Pillow's resampling, bit for bit: two passes over 8-bit pixels with fixed-point weights, antialiased when
 * shrinking. Which pass comes first is visible in the pixels, since what lies between them is rounded:
 * docs/decisions/003-pillow-13-order-of-passes.md.
 */
import type { RgbImage } from './decode.js';
import { resample } from './resample.js';
import { bicubicTaps } from './taps.js';

export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
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
  const removedRows = source.height - height;
  const removedColumns = source.width - width;
  const columnsFirst = removedRows > 0 && removedRows > 2 * removedColumns;
  const stride = image.width * 3;
  const start = (source.top + vertical.first) * stride + (source.left + horizontal.first) * 3;
  const data = resample({ data: image.data, start, stride }, horizontal, vertical, columnsFirst);
  return { width: window.width, height: window.height, data };
}
