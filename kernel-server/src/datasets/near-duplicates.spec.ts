import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { findDuplicates, HashIndex, MAX_NEAR_DISTANCE } from './near-duplicates.js';
import { hammingDistance, perceptualHash } from './perceptual-hash.js';
import { FIXTURES } from './testFolder.js';

const hash = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const hex = (value: bigint): string => value.toString(16).padStart(16, '0');
const ones = (value: bigint): number => value.toString(2).replaceAll('0', '').length;

describe('perceptual hashes', () => {
  it('are those of imagehash.phash, but for bits at the median', async () => {
    const expected = JSON.parse(await readFile(join(FIXTURES, 'hashes', 'expected.json'), 'utf8')) as Record<
      string,
      string
    >;
    for (const [name, reference] of Object.entries(expected)) {
      const own = await perceptualHash(sharp(join(FIXTURES, 'hashes', name)));
      expect(own).toMatch(/^[\da-f]{16}$/);
      // Pillow rounds between the two passes of its resize and sharp shrinks JPEGs as it decodes them.
      expect(hammingDistance(own, reference), name).toBeLessThanOrEqual(2);
    }
  });

  it('are near for copies of a picture, also a turned one, and far for others', async () => {
    const of = (name: string): Promise<string> => perceptualHash(sharp(join(FIXTURES, 'hashes', name)));
    const first = await of('0.png');
    for (const copy of ['0-smaller.png', '0-recompressed.jpg', '0-turned.jpg']) {
      expect(hammingDistance(first, await of(copy)), copy).toBeLessThanOrEqual(4);
    }
    for (const other of ['1.png', '2.png', '3.png', '4.png', '5.png']) {
      expect(hammingDistance(first, await of(other)), other).toBeGreaterThan(MAX_NEAR_DISTANCE);
    }
  });

  it('differ by the number of bits that differ', () => {
    fc.assert(
      fc.property(hash, hash, (a, b) => {
        expect(hammingDistance(hex(a), hex(b))).toBe(ones(a ^ b));
      }),
    );
  });
});

describe('near-duplicates', () => {
  it('finds what a comparison with every image finds', () => {
    // Hashes a few bits from each other, else none would be near.
    const few = fc
      .tuple(hash, fc.array(fc.array(fc.nat(63), { maxLength: 9 }), { minLength: 1, maxLength: 20 }))
      .map(([base, flips]) =>
        flips.map(bits => bits.reduce((value, bit) => value ^ (1n << BigInt(bit)), base)),
      );
    fc.assert(
      fc.property(few, hash, fc.nat(MAX_NEAR_DISTANCE), (known, stranger, maxDistance) => {
        const index = new HashIndex();
        for (const [position, value] of known.entries()) index.add(hex(value), String(position));
        for (const asked of [...known, stranger]) {
          const distances = known.map(value => ones(value ^ asked));
          const least = Math.min(...distances);
          expect(index.nearest(hex(asked), maxDistance)).toEqual(
            least > maxDistance ? null : { path: String(distances.indexOf(least)), distance: least },
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it('names the first image that each repeats', async () => {
    const image = (path: string, sha256: string, perceptualHash: string) => ({
      path,
      sha256,
      perceptualHash,
    });
    expect(
      await findDuplicates([
        image('a', '1', 'ffff0000ffff0000'),
        image('b', '2', 'ffff0000ffff0001'),
        image('c', '1', 'ffff0000ffff0000'),
        image('d', '3', '0000ffff0000ffff'),
        image('e', '2', 'ffff0000ffff0001'),
      ]),
    ).toEqual([
      { path: 'b', state: 'near-duplicate', of: 'a', distance: 1 },
      { path: 'c', state: 'duplicate', of: 'a', distance: 0 },
      { path: 'e', state: 'duplicate', of: 'b', distance: 0 },
    ]);
  });

  it('stops when it is told to', async () => {
    const images = Array.from({ length: 5000 }, (_value, n) => ({
      path: String(n),
      sha256: String(n),
      perceptualHash: hex((BigInt(n) * 0x9e3779b97f4a7c15n) % 2n ** 64n),
    }));
    await expect(findDuplicates(images, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });
});
