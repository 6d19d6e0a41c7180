/**
 * Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
 * (SC 2011, doi:10.1145/2063384.2063405). Number n of a stream is a function of (key, counter), so a draw depends
 * on nothing that happens to be drawn beside it.
 */

type Words4 = readonly [number, number, number, number];

const ROUNDS = 10;
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
/** Added to the key each round: the golden ratio and √3 − 1. */
const WEYL = [0x9e3779b9, 0xbb67ae85] as const;

/** Four words of 32 bits for a counter of four words and a key of two. */
export function philox4x32(counter: Words4, key: readonly [number, number]): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const [high0, high1] = [multiplyHigh(MULTIPLIERS[0], c0), multiplyHigh(MULTIPLIERS[1], c2)];
    const [low0, low1] = [Math.imul(MULTIPLIERS[0], c0), Math.imul(MULTIPLIERS[1], c2)];
    [c0, c1, c2, c3] = [high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0];
    k0 = (k0 + WEYL[0]) | 0;
    k1 = (k1 + WEYL[1]) | 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** The upper 32 bits of the unsigned product, by halves of 16 bits. */
function multiplyHigh(a: number, b: number): number {
  const [aLow, aHigh, bLow, bHigh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const other = aLow * bHigh + (middle & 0xffff);
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000);
}
