import { describe, expect, it } from 'vitest';
import { contentSeed, stageSeed, uniforms } from './draws.js';
import { philox4x32 } from './philox.js';

describe('uniform numbers', () => {
  const stream = { seed: 7, image: 0x0123456789abcdefn, stage: 3 };

  it('are the words of the stream’s counters', () => {
    const first = philox4x32([1, 3, 0x89abcdef, 0x01234567], [7, 0])[0];
    expect(uniforms(stream, 2)[1]).toBe(first / 2 ** 32);
    expect(uniforms({ ...stream, seed: 2 ** 40 + 7 }, 2)[1]).toBe(
      philox4x32([1, 3, 0x89abcdef, 0x01234567], [7, 256])[0] / 2 ** 32,
    );
  });

  it('do not depend on how many are taken', () => {
    expect(uniforms(stream, 60).slice(0, 5)).toEqual(uniforms(stream, 5));
  });
});

describe('streams', () => {
  it('are named by the first bytes of SHA-256, little-endian', () => {
    // SHA-256 of eight zero bytes: af5570f5a1810b7a…
    expect(contentSeed(new Float32Array(2))).toBe(0x7a0b81a1f57055afn);
    expect(stageSeed({ sha256: '01020304'.padEnd(64, 'f') })).toBe(0x04030201);
  });
});
