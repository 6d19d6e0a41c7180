/**
 * The sums of Pillow's two passes (Pillow 13, src/libImaging/Resample.c) in AssemblyScript with SIMD: 8-bit pixels
 * times coefficients of 22 fractional bits, summed in int32, rounded and clipped.
 *
 * `dot_i16x8_s` multiplies 16-bit lanes and adds neighbours. So source pixels are taken in pairs, and a coefficient
 * is split without loss into high · 2¹¹ + low, 0 ≤ low < 2¹¹. Either half's sum may wrap: modulo 2³² the whole is
 * right, and Pillow's headroom keeps it inside int32.
 *
 * `taps` holds a record of `recordBytes` per output pixel: its first source pixel (u32), how many pairs follow (u32),
 * and per pair the high halves of two coefficients, then their low halves (4 × i16). All other numbers are addresses
 * and counts of bytes, rows or pixels. Up to a pixel and 15 bytes behind the last source pixel are read, times zero.
 */
const LOW_BITS = 11;
const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

/**
 * Sums along rows of RGB pixels, four rows at a time.
 * @param target [rows rounded up to 4, outputs, 3]; a row writes one byte behind its end
 */
export function resampleRows(
  source: usize,
  sourceStride: usize,
  rows: usize,
  taps: usize,
  recordBytes: usize,
  outputs: usize,
  target: usize,
  targetStride: usize,
): void {
  for (let y: usize = 0; y < rows; y += 4) {
    const row0 = source + y * sourceStride;
    const row1 = source + min(y + 1, rows - 1) * sourceStride;
    const row2 = source + min(y + 2, rows - 1) * sourceStride;
    const row3 = source + min(y + 3, rows - 1) * sourceStride;
    let out = target + y * targetStride;
    for (let x: usize = 0; x < outputs; x++, out += 3) {
      const record = taps + x * recordBytes;
      const end = record + 8 + <usize>load<u32>(record, 4) * 8;
      let at = <usize>load<u32>(record) * 3;
      let high0 = i32x4.splat(0);
      let high1 = high0;
      let high2 = high0;
      let high3 = high0;
      let low0 = i32x4.splat(HALF);
      let low1 = low0;
      let low2 = low0;
      let low3 = low0;
      for (let pair = record + 8; pair < end; pair += 8, at += 6) {
        const high = v128.load32_splat(pair);
        const low = v128.load32_splat(pair, 4);
        const pixels0 = pixelPair(row0 + at);
        high0 = addProducts(high0, pixels0, high);
        low0 = addProducts(low0, pixels0, low);
        const pixels1 = pixelPair(row1 + at);
        high1 = addProducts(high1, pixels1, high);
        low1 = addProducts(low1, pixels1, low);
        const pixels2 = pixelPair(row2 + at);
        high2 = addProducts(high2, pixels2, high);
        low2 = addProducts(low2, pixels2, low);
        const pixels3 = pixelPair(row3 + at);
        high3 = addProducts(high3, pixels3, high);
        low3 = addProducts(low3, pixels3, low);
      }
      // Four times (r, g, b, 0): the fourth byte gives way to the next pixel.
      const pixels = clipped(whole(high0, low0), whole(high1, low1), whole(high2, low2), whole(high3, low3));
      v128.store32_lane(out, pixels, 0);
      v128.store32_lane(out + targetStride, pixels, 1);
      v128.store32_lane(out + 2 * targetStride, pixels, 2);
      v128.store32_lane(out + 3 * targetStride, pixels, 3);
    }
  }
}

/**
 * Sums down columns, sixteen bytes of a row at a time, whatever their channel.
 * @param width bytes of a row
 * @param target [outputs, width rounded up to 16]
 */
export function resampleColumns(
  source: usize,
  sourceStride: usize,
  width: usize,
  taps: usize,
  recordBytes: usize,
  outputs: usize,
  target: usize,
  targetStride: usize,
): void {
  for (let y: usize = 0; y < outputs; y++) {
    const record = taps + y * recordBytes;
    const end = record + 8 + <usize>load<u32>(record, 4) * 8;
    const row = source + <usize>load<u32>(record) * sourceStride;
    for (let x: usize = 0; x < width; x += 16) {
      let at = row + x;
      let high0 = i32x4.splat(0);
      let high1 = high0;
      let high2 = high0;
      let high3 = high0;
      let low0 = i32x4.splat(HALF);
      let low1 = low0;
      let low2 = low0;
      let low3 = low0;
      for (let pair = record + 8; pair < end; pair += 8, at += 2 * sourceStride) {
        const high = v128.load32_splat(pair);
        const low = v128.load32_splat(pair, 4);
        const upper = v128.load(at);
        const lower = v128.load(at + sourceStride);
        // prettier-ignore
        const left = v128.shuffle<u8>(upper, lower, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        // prettier-ignore
        const right = v128.shuffle<u8>(upper, lower, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        const bytes0 = i16x8.extend_low_i8x16_u(left);
        high0 = addProducts(high0, bytes0, high);
        low0 = addProducts(low0, bytes0, low);
        const bytes1 = i16x8.extend_high_i8x16_u(left);
        high1 = addProducts(high1, bytes1, high);
        low1 = addProducts(low1, bytes1, low);
        const bytes2 = i16x8.extend_low_i8x16_u(right);
        high2 = addProducts(high2, bytes2, high);
        low2 = addProducts(low2, bytes2, low);
        const bytes3 = i16x8.extend_high_i8x16_u(right);
        high3 = addProducts(high3, bytes3, high);
        low3 = addProducts(low3, bytes3, low);
      }
      v128.store(
        target + y * targetStride + x,
        clipped(whole(high0, low0), whole(high1, low1), whole(high2, low2), whole(high3, low3)),
      );
    }
  }
}

/** Two RGB pixels as 16-bit lanes (r, r, g, g, b, b, 0, 0). */
function pixelPair(at: usize): v128 {
  // prettier-ignore
  return i8x16.swizzle(v128.load64_zero(at), i8x16(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
}

function addProducts(sum: v128, pixels: v128, weights: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(pixels, weights));
}

/** The two halves of four sums put together, without their fraction. */
function whole(high: v128, low: v128): v128 {
  return i32x4.shr_s(i32x4.add(i32x4.shl(high, LOW_BITS), low), PRECISION_BITS);
}

/** Four times four values to 0 … 255. */
function clipped(a: v128, b: v128, c: v128, d: v128): v128 {
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
}
