/**
 * A hash that changes little when a picture is scaled, recompressed or slightly recoloured: pHash (C. Zauner,
 * “Implementation and benchmarking of perceptual image hash functions”, 2010, section 3.2), with the sizes and
 * the bit order of Python's `imagehash.phash`, so that hashes of both can be compared.
 */
import type { Sharp } from 'sharp';

/** The picture is reduced to this side; the hash is made of the lowest frequencies. */
const SIDE = 32;
const LOW = 8;

/** `COSINES[k][n]` = cos(π k (2n + 1) / 2N): rows of the discrete cosine transform, type II. */
const COSINES = Array.from({ length: LOW }, (_row, k) =>
  Float64Array.from({ length: SIDE }, (_cell, n) => Math.cos((Math.PI * k * (2 * n + 1)) / (2 * SIDE))),
);

/**
 * The hash of a decoded picture, upright as displayed.
 * @param image before any output was asked of it; it is used up
 * @returns 16 hexadecimal digits, the first bit that of the lowest frequency
 */
export async function perceptualHash(image: Sharp): Promise<string> {
  const { data, info } = await image
    .autoOrient()
    .resize(SIDE, SIDE, { fit: 'fill', kernel: 'lanczos3' })
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return hashOfGrey(grey(data, info.channels));
}

/** Luma of ITU-R BT.601, in Pillow's integer arithmetic. [32 × 32] */
function grey(pixels: Buffer, channels: number): Float64Array {
  const luma = new Float64Array(SIDE * SIDE);
  for (let at = 0; at < luma.length; at++) {
    const red = pixels[at * channels]!;
    if (channels < 3) luma[at] = red;
    else
      luma[at] =
        (red * 19595 + pixels[at * channels + 1]! * 38470 + pixels[at * channels + 2]! * 7471 + 0x8000) >> 16;
  }
  return luma;
}

/**
 * Bits of the 8 × 8 lowest frequencies: 1 where one is above their median.
 * @param luma [32 × 32], row-major
 */
export function hashOfGrey(luma: Float64Array): string {
  // Columns first, then rows, only as far as needed: (8, 32) = C · luma, then (8, 8) = that · Cᵀ.
  const columns = COSINES.map(cosines =>
    Float64Array.from({ length: SIDE }, (_cell, x) => {
      let sum = 0;
      for (let y = 0; y < SIDE; y++) sum += cosines[y]! * luma[y * SIDE + x]!;
      return sum;
    }),
  );
  const low = columns.flatMap(row =>
    COSINES.map(cosines => {
      let sum = 0;
      for (let x = 0; x < SIDE; x++) sum += cosines[x]! * row[x]!;
      return sum;
    }),
  );
  const sorted = [...low].sort((a, b) => a - b);
  const median = (sorted[LOW * LOW * 0.5 - 1]! + sorted[LOW * LOW * 0.5]!) / 2;
  let hex = '';
  for (let at = 0; at < low.length; at += 4) {
    let digit = 0;
    for (let bit = 0; bit < 4; bit++) digit = digit * 2 + (low[at + bit]! > median ? 1 : 0);
    hex += digit.toString(16);
  }
  return hex;
}

/** How many of the 64 bits differ. */
export function hammingDistance(a: string, b: string): number {
  return (
    bits(Number.parseInt(a.slice(0, 8), 16) ^ Number.parseInt(b.slice(0, 8), 16)) +
    bits(Number.parseInt(a.slice(8), 16) ^ Number.parseInt(b.slice(8), 16))
  );
}

/** Set bits of a 32-bit number, in parallel sums (Warren, “Hacker's Delight”, section 5-1). */
export function bits(word: number): number {
  let sum = word - ((word >>> 1) & 0x55555555);
  sum = (sum & 0x33333333) + ((sum >>> 2) & 0x33333333);
  return Math.imul((sum + (sum >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
