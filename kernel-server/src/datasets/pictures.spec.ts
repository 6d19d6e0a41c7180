import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Pictures } from './pictures.js';

let folder: string;
let pictures: Pictures;

/** Left half red, right half blue. */
async function halves(width: number, height: number): Promise<Sharp> {
  const red = await sharp({ create: { width: width / 2, height, channels: 3, background: '#f00' } })
    .png()
    .toBuffer();
  return sharp({ create: { width, height, channels: 3, background: '#00f' } }).composite([
    { input: red, left: 0, top: 0 },
  ]);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-pictures-'));
  pictures = new Pictures(join(folder, 'cache'));
  await (await halves(400, 200)).png().toFile(join(folder, 'wide.png'));
  await (
    await halves(400, 200)
  )
    .withExif({ IFD0: { Copyright: 'patient 17' } })
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toFile(join(folder, 'turned.jpg'));
  await (await halves(40, 20)).tiff().toFile(join(folder, 'scan.tiff'));
  await (await halves(40, 20)).webp().toFile(join(folder, 'misnamed.jpg'));
  await writeFile(join(folder, 'text.jpg'), 'not an image at all');
  await writeFile(join(folder, 'empty.png'), '');
  await writeFile(
    join(folder, 'drawing.png'),
    '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
  );
  await copyFile(join(folder, 'wide.png'), join(folder, 'cut.png'));
  await truncate(join(folder, 'cut.png'), 120);
});
afterAll(() => rm(folder, { recursive: true }));

describe('Pictures.warm', () => {
  it('makes thumbnails ahead, passes over what cannot be read, and stops when it is told to', async () => {
    const own = new Pictures(join(folder, 'warm-cache'));
    const files = ['wide.png', 'text.jpg', 'turned.jpg', 'nowhere.jpg'].map(name => join(folder, name));
    expect(await own.warm([...files, async () => join(folder, 'scan.tiff')], 64)).toBe(3);
    const made = await readdir(join(folder, 'warm-cache'), { recursive: true });
    expect(made.filter(name => name.endsWith('.webp'))).toHaveLength(3);
    expect(await own.warm(files, 32, AbortSignal.abort())).toBe(0);
  });

  it('waits while somebody waits for a picture', async () => {
    const own = new Pictures(join(folder, 'polite-cache'));
    const order: string[] = [];
    const asked = own.thumbnail(join(folder, 'wide.png'), 64).then(() => order.push('asked for'));
    const ahead = own.warm([join(folder, 'turned.jpg')], 64).then(() => order.push('made ahead'));
    await Promise.all([asked, ahead]);
    expect(order).toEqual(['asked for', 'made ahead']);
  });
});

describe('Pictures.thumbnail', () => {
  it('fits the longer side and does not enlarge', async () => {
    const large = await pictures.thumbnail(join(folder, 'wide.png'), 100);
    expect(large.contentType).toBe('image/webp');
    expect(await sharp(large.file).metadata()).toMatchObject({ format: 'webp', width: 100, height: 50 });
    const small = await pictures.thumbnail(join(folder, 'scan.tiff'), 256);
    expect(await sharp(small.file).metadata()).toMatchObject({ width: 40, height: 20 });
  });

  it('stands upright and carries no metadata', async () => {
    const { file } = await pictures.thumbnail(join(folder, 'turned.jpg'), 100);
    const metadata = await sharp(file).metadata();
    expect(metadata).toMatchObject({ width: 50, height: 100 });
    expect(metadata.exif).toBeUndefined();
    expect((await readFile(file)).includes('patient 17')).toBe(false);
    // Orientation 6 turns the left half to the top.
    const { data } = await sharp(file).raw().toBuffer({ resolveWithObject: true });
    expect([data[0]! > 200, data[2]! < 60]).toEqual([true, true]);
  });

  it('is made once for many requests and again when the file changes', async () => {
    const cacheDir = join(folder, 'cache-of-one');
    const own = new Pictures(cacheDir);
    const file = join(folder, 'changing.png');
    await copyFile(join(folder, 'wide.png'), file);
    const made = await Promise.all([1, 2, 3].map(() => own.thumbnail(file, 64)));
    expect(new Set(made.map(({ etag }) => etag)).size).toBe(1);
    await utimes(file, new Date(), new Date(Date.now() + 5000));
    expect((await own.thumbnail(file, 64)).etag).not.toBe(made[0]!.etag);
    const kept = await readdir(join(cacheDir, 'pictures'), { recursive: true });
    expect(kept.filter(name => name.endsWith('.webp'))).toHaveLength(2);
    expect(kept.filter(name => !name.endsWith('.webp') && name.includes('.'))).toEqual([]);
  });

  it.each(['text.jpg', 'empty.png', 'cut.png', 'drawing.png'])(
    'names %s and the reason when it cannot be read',
    async name => {
      await expect(pictures.thumbnail(join(folder, name), 64)).rejects.toMatchObject({
        code: 'image-unreadable',
        message: expect.stringMatching(new RegExp(`“${name}” cannot be read as an image: .`)),
      });
      await expect(pictures.thumbnail(join(folder, name), 64)).rejects.not.toThrow(folder);
    },
  );

  it('refuses a folder', async () => {
    await mkdir(join(folder, 'album.png'), { recursive: true });
    await expect(pictures.thumbnail(join(folder, 'album.png'), 64)).rejects.toMatchObject({
      code: 'not-a-file',
    });
  });

  it('refuses a decompression bomb', async () => {
    const bomb = join(folder, 'bomb.svg.png');
    // A PNG header that claims 30,000 × 30,000 pixels.
    const header = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#fff' } })
      .png()
      .toBuffer();
    header.writeUInt32BE(30_000, 16);
    header.writeUInt32BE(30_000, 20);
    await writeFile(bomb, header);
    await expect(pictures.thumbnail(bomb, 64)).rejects.toMatchObject({ code: 'image-unreadable' });
  });
});

describe('Pictures.original', () => {
  it('passes on what browsers show, judged by content and not by name', async () => {
    expect(await pictures.original(join(folder, 'wide.png'))).toMatchObject({
      file: join(folder, 'wide.png'),
      contentType: 'image/png',
    });
    expect(await pictures.original(join(folder, 'misnamed.jpg'))).toMatchObject({
      contentType: 'image/webp',
    });
  });

  it.each(['tiff', 'avif'] as const)('converts %s', async format => {
    const source = join(folder, `scan.${format}`);
    await (await halves(40, 20)).toFormat(format).toFile(source);
    const { file, contentType } = await pictures.original(source);
    expect(contentType).toBe('image/webp');
    expect(await sharp(file).metadata()).toMatchObject({ format: 'webp', width: 40, height: 20 });
  });

  it('never passes on a file that is no image', async () => {
    for (const name of ['text.jpg', 'drawing.png']) {
      await expect(pictures.original(join(folder, name))).rejects.toMatchObject({ code: 'image-unreadable' });
    }
  });
});
