import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeImage } from './decode.js';
import { preprocess } from './preprocess.js';
import type { InputSpec, PreprocessMode } from './preprocess.js';
import { imagePath, sha256 } from './testGoldens.js';

interface Tower extends InputSpec {
  tensors: Record<PreprocessMode, Record<string, string>>;
}

const file = join(import.meta.dirname, '../../../test/fixtures/image/openclip.json');
const { towers } = JSON.parse(readFileSync(file, 'utf8')) as { towers: Record<string, Tower> };

describe.each(Object.entries(towers))(
  "%s: the tensor of open_clip's own transform, bit for bit",
  (_, tower) => {
    it.each(Object.entries(tower.tensors))('%s', async (mode, tensors) => {
      const made: Record<string, string> = {};
      for (const name of Object.keys(tensors)) {
        const pixels = preprocess(await decodeImage(imagePath(name)), mode as PreprocessMode, tower);
        expect(pixels).toHaveLength(3 * tower.size * tower.size);
        made[name] = sha256(new Uint8Array(pixels.buffer));
      }
      expect(Object.keys(made).length).toBeGreaterThan(60);
      expect(made).toEqual(tensors);
    });
  },
);
