/**
 * The random numbers of sampling: each row (an image under a stage) has a stream of its own, named by content, so that
 * a caption depends neither on its batch nor on what else is captioned.
 */
import { createHash } from 'node:crypto';
import { philox4x32 } from './philox.js';

/** Whose numbers they are: a stream of its own for every (seed, image, stage). */
export interface Stream {
  /** A whole number from 0 to 2⁵³ − 1: the key. */
  seed: number;
  /** 64 bits that name the image. */
  image: bigint;
  /** 32 bits that name the stage. */
  stage: number;
}

/** Uniform numbers of a stream in [0, 1), multiples of 2⁻³²: number `step` is word 0 at counter (step, stage, image). */
export function uniforms({ seed, image, stage }: Stream, count: number): number[] {
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32)] as const;
  const [low, high] = [Number(image & 0xffffffffn), Number(image >> 32n)];
  return Array.from({ length: count }, (_, step) => philox4x32([step, stage, low, high], key)[0] / 2 ** 32);
}

/** 64 bits that name an image by its preprocessed pixels: the first of their SHA-256, little-endian. */
export function contentSeed(pixels: Float32Array): bigint {
  return createHash('sha256').update(pixels).digest().readBigUInt64LE();
}

/** 32 bits that name a stage by its checkpoint: the first of its SHA-256, little-endian. */
export function stageSeed({ sha256 }: { sha256: string }): number {
  return Buffer.from(sha256.slice(0, 8), 'hex').readUInt32LE();
}
