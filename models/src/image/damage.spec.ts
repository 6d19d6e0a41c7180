import { constants } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DermcapError } from '../errors.js';
import { decodeImage } from './decode.js';
import { imagePath, readGoldens, sha256 } from './testGoldens.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-damage-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function written(name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

async function refusal(path: string): Promise<DermcapError> {
  const error: unknown = await decodeImage(path).then(
    image => expect.fail(`${path} was read as ${image.width} × ${image.height}`),
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(DermcapError);
  expect((error as DermcapError).message).toContain(path);
  expect((error as DermcapError).message).toMatch(/^[^\n]+\.$/);
  return error as DermcapError;
}

describe('refuses a file that is cut', () => {
  const names = [
    'jpeg-420.jpg',
    'jpeg-progressive.jpg',
    'jpeg-grey.jpg',
    'png-rgb.png',
    'png-palette.png',
    'png-interlaced.png',
    'webp-lossy.webp',
    'webp-lossless.webp',
    'tiff-rgb.tif',
    'tiff-deflate.tif',
    'gif.gif',
  ];
  const parts = [0.05, 0.2, 0.5, 0.75, 0.9, 0.97];
  it.each(names.flatMap(name => parts.map(part => [name, part] as const)))('%s at %d', async (name, part) => {
    const bytes = await readFile(imagePath(name));
    const path = await written(`${part}-${name}`, bytes.subarray(0, Math.floor(bytes.length * part)));
    expect((await refusal(path)).code).toBe('image-truncated');
  });

  it.each(['jpeg-420.jpg', 'jpeg-progressive.jpg', 'webp-lossy.webp', 'tiff-rgb.tif'])(
    '%s without its last byte',
    async name => {
      const path = await written(`short-${name}`, (await readFile(imagePath(name))).subarray(0, -1));
      expect((await refusal(path)).code).toBe('image-truncated');
    },
  );

  it('a JPEG that lost its middle, which would be half grey', async () => {
    const bytes = await readFile(imagePath('jpeg-420.jpg'));
    const path = await written(
      'middle.jpg',
      Buffer.concat([bytes.subarray(0, bytes.length / 2), bytes.subarray(-2)]),
    );
    expect((await refusal(path)).code).toBe('image-truncated');
  });
});

it.each(['png-rgb.png', 'png-palette.png', 'png-interlaced.png', 'tiff-deflate.tif', 'gif.gif'])(
  'refuses a scribbled %s',
  async name => {
    const bytes = await readFile(imagePath(name));
    const middle = Math.floor(bytes.length / 2);
    bytes.fill(0x55, middle, middle + 40);
    expect((await refusal(await written(`scribbled-${name}`, bytes))).code).toBe('image-truncated');
  },
);

it('never fails in another way than by its own errors, wherever a byte is changed', async () => {
  const refused: string[] = [];
  for (const name of [
    'jpeg-orientation-6.jpg',
    'png-palette.png',
    'webp-lossy.webp',
    'gif.gif',
    'tiff-lzw.tif',
  ]) {
    const bytes = await readFile(imagePath(name));
    for (let step = 0; step < 24; step++) {
      const changed = Buffer.from(bytes);
      // Half of the changes in the header, where lengths and offsets are.
      const at = step % 2 === 0 ? 3 * step : Math.floor((bytes.length * step) / 24);
      changed[at] = changed[at]! ^ 0xff;
      const path = await written(`byte-${step}-${name}`, changed);
      await decodeImage(path).catch((error: unknown) => {
        expect(error).toBeInstanceOf(DermcapError);
        refused.push((error as DermcapError).code);
      });
    }
  }
  expect(refused.length).toBeGreaterThan(20);
});

describe('tells apart what is not an image that is read', () => {
  it('nothing there', async () => {
    expect((await refusal(join(folder, 'nowhere.jpg'))).code).toBe('image-missing');
  });

  it('a folder', async () => {
    const path = join(folder, 'folder.jpg');
    await mkdir(path);
    expect((await refusal(path)).code).toBe('image-missing');
  });

  it('an empty file', async () => {
    expect((await refusal(await written('empty.jpg', ''))).code).toBe('image-empty');
  });

  it.each([
    ['text.jpg', 'A red plaque on the elbow.'],
    ['page.jpg', '<!doctype html><title>Not found</title>'],
    ['one-byte.png', '\x89'],
    ['noise.jpg', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 251))],
  ])('%s', async (name, content) => {
    expect((await refusal(await written(name, content))).code).toBe('image-unreadable');
  });

  it.each([
    ['drawing.svg', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 'SVG'],
    ['scan.dcm', `${'\0'.repeat(128)}DICM`, 'DICOM'],
    ['picture.bmp', 'BM\0\0\0\0', 'BMP'],
    ['phone.heic', '\0\0\0\x18ftypheic\0\0\0\0', 'HEIF or AVIF'],
  ])('%s', async (name, content, format) => {
    const { code, message } = await refusal(await written(name, content));
    expect(code).toBe('image-unsupported');
    expect(message).toContain(format);
  });

  it('a TIFF of floating-point pixels', async () => {
    const path = join(folder, 'float.tif');
    await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
      .pipelineColourspace('scrgb')
      .toColourspace('scrgb')
      .tiff({ compression: 'none' })
      .toFile(path);
    expect((await sharp(path).metadata()).depth).toBe('float');
    expect((await refusal(path)).code).toBe('image-unsupported');
  });
});

/** A PNG whose header promises width × height, with the given compressed rows. */
function png(width: number, height: number, rows: Uint8Array): Buffer {
  const chunk = (kind: string, content: Uint8Array) => {
    const named = Buffer.concat([Buffer.from(kind, 'latin1'), content]);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(content.length);
    check.writeUInt32BE(crc32(named));
    return Buffer.concat([length, named, check]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', new Uint8Array()),
  ]);
}

describe('refuses 30,000 × 30,000 pixels before decoding them', () => {
  it.each([
    ['with nothing behind its header', new Uint8Array(1)],
    ['with zeros', new Uint8Array(30_000_000)],
  ])('%s', async (_, rows) => {
    const path = await written('bomb.png', png(30_000, 30_000, rows));
    const before = process.memoryUsage().rss;
    const { code, message } = await refusal(path);
    expect(code).toBe('image-too-large');
    expect(message).toContain('30000 × 30000 pixels');
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
  });
});

it('reads a file anew after it has changed', async () => {
  const { images } = readGoldens();
  const path = join(folder, 'changing.png');
  for (const name of ['png-rgb.png', 'png-grey.png', 'png-rgb.png']) {
    await copyFile(imagePath(name), path, constants.COPYFILE_FICLONE);
    expect(sha256((await decodeImage(path)).data)).toBe(images[name]!.rgb);
  }
});
