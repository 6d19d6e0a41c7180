/**
 * Which images of many are the same or nearly so. Near ones are found by multi-index hashing (M. Norouzi,
 * A. Punjani, D. Fleet, “Fast search in Hamming space with multi-index hashing”, CVPR 2012): of two hashes that
 * differ in at most 7 of 64 bits, at least one of four 16-bit parts differs in at most one bit.
 */
import { setImmediate } from 'node:timers/promises';
import { bits } from './perceptual-hash.js';

/** Beyond this the parts would have to be searched with two bits changed. */
export const MAX_NEAR_DISTANCE = 7;
/** Of 64 bits. Recompressed and rescaled copies differ in 0 to 4; two views of one lesion in more. */
export const DEFAULT_NEAR_DISTANCE = 4;

const PARTS = 4;
/** Images between two breaths, so that a server goes on answering. */
const SLICE = 500;

export interface HashedImage {
  path: string;
  sha256: string;
  /** 16 hexadecimal digits. */
  perceptualHash: string;
}

export interface Duplicate {
  path: string;
  /** `duplicate`: the same bytes. */
  state: 'duplicate' | 'near-duplicate';
  /** The first image in the order given that it repeats. */
  of: string;
  /** Differing bits of the perceptual hashes; 0 for equal bytes. */
  distance: number;
}

interface Known {
  high: number;
  low: number;
  path: string;
}

/**
 * For each image the earliest one it repeats, if any: an image is compared with those that repeat no other.
 * @param images in the order that decides which is the first
 * @param options.maxDistance bits that may differ, at most {@link MAX_NEAR_DISTANCE}
 */
export async function findDuplicates(
  images: Iterable<HashedImage> | AsyncIterable<HashedImage>,
  options: { maxDistance?: number; signal?: AbortSignal } = {},
): Promise<Duplicate[]> {
  const { maxDistance = DEFAULT_NEAR_DISTANCE, signal } = options;
  if (maxDistance > MAX_NEAR_DISTANCE) throw new RangeError(`At most ${MAX_NEAR_DISTANCE} bits may differ.`);
  const bySha = new Map<string, string>();
  const index = new HashIndex();
  const found: Duplicate[] = [];
  let seen = 0;
  for await (const { path, sha256, perceptualHash } of images) {
    if (++seen % SLICE === 0) {
      signal?.throwIfAborted();
      await setImmediate();
    }
    const same = bySha.get(sha256);
    if (same !== undefined) {
      found.push({ path, state: 'duplicate', of: same, distance: 0 });
      continue;
    }
    bySha.set(sha256, path);
    const near = index.nearest(perceptualHash, maxDistance);
    if (near) found.push({ path, state: 'near-duplicate', of: near.path, distance: near.distance });
    else index.add(perceptualHash, path);
  }
  return found;
}

/** Perceptual hashes, searchable by distance. */
export class HashIndex {
  readonly #known: Known[] = [];
  /** For each part and each of its values the images that have it. */
  readonly #parts = Array.from({ length: PARTS }, () => new Map<number, number[]>());

  add(hash: string, path: string): void {
    const [high, low] = words(hash);
    const position = this.#known.push({ high, low, path }) - 1;
    for (const [part, value] of parts(hash).entries()) {
      const images = this.#parts[part]!.get(value);
      if (images) images.push(position);
      else this.#parts[part]!.set(value, [position]);
    }
  }

  /** The nearest within a distance, of equally near ones the first added. */
  nearest(hash: string, maxDistance: number): { path: string; distance: number } | null {
    const [high, low] = words(hash);
    let best = -1;
    let bestDistance = maxDistance + 1;
    const look = (part: number, value: number): void => {
      for (const position of this.#parts[part]!.get(value) ?? []) {
        const known = this.#known[position]!;
        const distance = bits(known.high ^ high) + bits(known.low ^ low);
        if (distance < bestDistance || (distance === bestDistance && position < best)) {
          best = position;
          bestDistance = distance;
        }
      }
    };
    for (const [part, value] of parts(hash).entries()) {
      look(part, value);
      // Within 3 bits one of the four parts is equal; beyond, one differs in a single bit.
      if (maxDistance >= PARTS) for (let bit = 0; bit < 16; bit++) look(part, value ^ (1 << bit));
    }
    return best === -1 ? null : { path: this.#known[best]!.path, distance: bestDistance };
  }
}

function words(hash: string): [high: number, low: number] {
  return [Number.parseInt(hash.slice(0, 8), 16) | 0, Number.parseInt(hash.slice(8), 16) | 0];
}

/**
 * Four parts of 16 bits, each with one bit of every hexadecimal digit: low frequencies, in which pictures of one
 * kind are alike, are spread over all of them.
 */
function parts(hash: string): number[] {
  const found = [0, 0, 0, 0];
  for (const char of hash) {
    const digit = Number.parseInt(char, 16);
    for (let part = 0; part < PARTS; part++) found[part] = (found[part]! << 1) | ((digit >> part) & 1);
  }
  return found;
}
