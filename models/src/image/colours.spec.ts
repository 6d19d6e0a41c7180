import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeImage } from './decode.js';
import { imagePath, readGoldens, sha256 } from './testGoldens.js';
import { tiffColours } from './tiff.js';

const { images } = readGoldens();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-colours-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function written(name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

/** A little-endian TIFF that says other colours of the same samples. */
async function tiffSaying(photometric: number): Promise<Buffer> {
  const bytes = await readFile(imagePath('tiff-rgb.tif'));
  const directory = bytes.readUInt32LE(4);
  for (let i = 0, at = directory + 2; i < bytes.readUInt16LE(directory); i++, at += 12)
    if (bytes.readUInt16LE(at) === 262) bytes.writeUInt16LE(photometric, at + 8);
  return bytes;
}

describe('a TIFF of colours that would be taken for RGB', () => {
  it.each([
    [6, /YCbCr without JPEG/],
    [8, /CIE L\*a\*b\*/],
    [32845, /photometric interpretation 32845/],
  ])('is refused: photometric interpretation %d', async (photometric, name) => {
    const path = await written(`${photometric}.tif`, await tiffSaying(photometric));
    await expect(decodeImage(path)).rejects.toMatchObject({
      code: 'image-unsupported',
      message: expect.stringMatching(name),
    });
  });

  it('is read when its word is RGB', async () => {
    const { data } = await decodeImage(await written('rgb.tif', await tiffSaying(2)));
    expect(sha256(data)).toBe(images['tiff-rgb.tif']!.rgb);
  });

  it('is not looked for in a file that ends before its directory', async () => {
    const bytes = await readFile(imagePath('tiff-rgb.tif'));
    expect(tiffColours(bytes)).toEqual({ photometric: 2, compression: 1 });
    expect(tiffColours(bytes.subarray(0, bytes.readUInt32LE(4) + 1))).toBeUndefined();
    expect(tiffColours(Buffer.from('MM\0*\xff\xff\xff\xff', 'latin1'))).toBeUndefined();
  });
});

it('cuts 16-bit grey at 255 also where one value is said to be clear', async () => {
  const bytes = await readFile(imagePath('png-grey-16-bit-dark.png'));
  const chunk = Buffer.from('\0\0\0\x02tRNS\0\x40\0\0\0\0', 'latin1');
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 10)), 10);
  const afterHeader = 8 + 25;
  const clear = Buffer.concat([bytes.subarray(0, afterHeader), chunk, bytes.subarray(afterHeader)]);
  const { data } = await decodeImage(await written('one-clear.png', clear));
  expect(sha256(data)).toBe(images['png-grey-16-bit-dark.png']!.rgb);
});
