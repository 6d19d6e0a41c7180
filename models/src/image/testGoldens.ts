/** Types and places of the goldens in test/fixtures/image, for tests only; make.py there says what they are. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const FIXTURES = join(import.meta.dirname, '../../../test/fixtures/image');

interface Golden {
  readonly width: number;
  readonly height: number;
  readonly rgb: string;
  /** [mode][size] */
  readonly resized: Record<string, Record<string, string>>;
  /** By index into [3, 224, 224]. */
  readonly normalised: Record<string, number>;
  readonly oriented?: { readonly width: number; readonly height: number; readonly rgb: string };
}

interface Goldens {
  readonly mean: number[];
  readonly std: number[];
  readonly images: Record<string, Golden>;
}

export function readGoldens(): Goldens {
  return JSON.parse(readFileSync(join(FIXTURES, 'expected.json'), 'utf8')) as Goldens;
}

export function imagePath(name: string): string {
  return join(FIXTURES, 'images', name);
}

/** The reference's pixels of an image that cannot be read to the same bytes. */
export function pixelsPath(name: string): string {
  return join(FIXTURES, 'pixels', `${name}.png`);
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
