/** Types and places of the goldens in test/fixtures/captions; their README says how they were made. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Decoding, StageId } from '@dermcap/models';

export const FIXTURES = join(import.meta.dirname, '..', 'fixtures', 'captions');

export interface GoldenCaption {
  tokens: number[];
  caption: string;
  /** transformers' `sequences_scores`; null for greedy decoding. */
  score: number | null;
}

export interface GoldenCase {
  id: string;
  release: string;
  stages: StageId[];
  images: string[];
  /** null: each stage its own. */
  prompt: string | null;
  decoding: Partial<Decoding>;
  /** [image][stage] */
  captions: GoldenCaption[][];
}

export interface GoldenEmbedding {
  /** SHA-256 of the resized RGB image, rows of 8-bit triples. */
  resizedSha256: string;
  embedding: number[];
}

export interface Goldens {
  /** [tower][mode][image] */
  towers: Record<string, Record<string, Record<string, GoldenEmbedding>>>;
  releases: Record<string, { why: string; tower: string; stages: StageId[] }>;
  cases: GoldenCase[];
}

export function readGoldens(): Goldens {
  return JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8')) as Goldens;
}

export const imagePath = (name: string) => join(FIXTURES, 'images', name);
export const towerPath = (name: string) => join(FIXTURES, 'towers', name);
export const releasePath = (name: string) => join(FIXTURES, 'releases', name);
