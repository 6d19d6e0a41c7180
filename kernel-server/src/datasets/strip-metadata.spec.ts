import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { withoutMetadata } from './strip-metadata.js';

const SECRETS = /SECRET|Canon|2019:|GPS|xpacket/;

/** A picture that is not symmetric, with everything a camera writes about it. */
function picture(orientation: number): Sharp {
  const pixels = Buffer.from(
    Array.from({ length: 24 * 16 * 3 }, (_value, at) => (at * 7 + (at >> 5) * 31) % 256),
  );
  return sharp(pixels, { raw: { width: 24, height: 16, channels: 3 } }).withExif({
    IFD0: { Make: 'Canon SECRET', Orientation: String(orientation), Artist: 'SECRET name' },
    IFD2: { DateTimeOriginal: '2019:01:02 03:04:05', BodySerialNumber: 'SECRET-17' },
    IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '48/1 8/1 0/1' },
  });
}

const pixelsOf = (bytes: Buffer): Promise<Buffer> => sharp(bytes).raw().toBuffer();
const uprightOf = (bytes: Buffer): Promise<Buffer> => sharp(bytes).autoOrient().raw().toBuffer();

const FORMATS: [string, (image: Sharp) => Sharp, string][] = [
  ['JPEG', image => image.jpeg({ quality: 80 }), '.jpg'],
  ['progressive JPEG', image => image.jpeg({ progressive: true }), '.jpg'],
  ['JPEG with a colour profile', image => image.withIccProfile('p3').jpeg(), '.jpg'],
  ['PNG', image => image.png(), '.png'],
  ['lossy WebP', image => image.webp(), '.webp'],
  ['lossless WebP', image => image.webp({ lossless: true }), '.webp'],
];

describe('copies without metadata', () => {
  it.each(FORMATS)(
    'keeps the pixels and the way up of a %s and nothing else',
    async (_name, encode, extension) => {
      for (const orientation of [1, 3, 6, 8]) {
        const original = await encode(picture(orientation)).toBuffer();
        expect(original.toString('latin1')).toMatch(/SECRET/);
        const copy = await withoutMetadata(original, 'x');
        expect(copy.extension).toBe(extension);
        expect(copy.bytes.toString('latin1')).not.toMatch(SECRETS);
        expect(await pixelsOf(copy.bytes)).toEqual(await pixelsOf(original));
        expect(await uprightOf(copy.bytes)).toEqual(await uprightOf(original));
        const { icc } = await sharp(original).metadata();
        expect((await sharp(copy.bytes).metadata()).icc).toEqual(icc);
      }
    },
  );

  it('drops XMP, comments and what is hung onto the end of a JPEG', async () => {
    const plain = await picture(1).jpeg().toBuffer();
    const segment = (marker: number, text: string): Buffer => {
      const head = Buffer.from([0xff, marker, 0, 0]);
      head.writeUInt16BE(text.length + 2, 2);
      return Buffer.concat([head, Buffer.from(text, 'latin1')]);
    };
    const loaded = Buffer.concat([
      plain.subarray(0, 2),
      segment(0xe1, 'http://ns.adobe.com/xap/1.0/\0<?xpacket SECRET?>'),
      segment(0xed, 'Photoshop 3.0\x008BIM SECRET'),
      segment(0xfe, 'SECRET comment'),
      plain.subarray(2),
      Buffer.from('SECRET film after the picture'),
    ]);
    const { bytes } = await withoutMetadata(loaded, 'x');
    expect(bytes.toString('latin1')).not.toMatch(SECRETS);
    expect(await pixelsOf(bytes)).toEqual(await pixelsOf(plain));
  });

  it('drops the text of a PNG', async () => {
    const plain = await picture(1).png().toBuffer();
    const body = Buffer.from('tEXtNote\0SECRET');
    const chunk = Buffer.alloc(body.length + 8);
    chunk.writeUInt32BE(body.length - 4, 0);
    body.copy(chunk, 4);
    chunk.writeUInt32BE(crc32(body), body.length + 4);
    const end = plain.length - 12;
    const loaded = Buffer.concat([plain.subarray(0, end), chunk, plain.subarray(end)]);
    const { bytes } = await withoutMetadata(loaded, 'x');
    expect(bytes.toString('latin1')).not.toMatch(SECRETS);
    expect(await pixelsOf(bytes)).toEqual(await pixelsOf(plain));
  });

  it('drops comments of a GIF and keeps its frames', async () => {
    const plain = await picture(1).gif().toBuffer();
    const comment = Buffer.concat([Buffer.from([0x21, 0xfe, 6]), Buffer.from('SECRET'), Buffer.from([0])]);
    const loaded = Buffer.concat([plain.subarray(0, -1), comment, plain.subarray(-1)]);
    const { bytes } = await withoutMetadata(loaded, 'x');
    expect(bytes.toString('latin1')).not.toMatch(SECRETS);
    expect(await pixelsOf(bytes)).toEqual(await pixelsOf(plain));
  });

  it('makes a PNG of a TIFF, upright, with the same pixels', async () => {
    const original = await picture(6).tiff({ compression: 'lzw' }).toBuffer();
    const { bytes, extension } = await withoutMetadata(original, 'x');
    expect(extension).toBe('.png');
    expect(bytes.toString('latin1')).not.toMatch(SECRETS);
    expect(await pixelsOf(bytes)).toEqual(await uprightOf(original));
  });

  it('answers damage with a copy without secrets or a sentence', async () => {
    for (const [, encode] of FORMATS) {
      const bytes = await encode(picture(6)).toBuffer();
      await fc.assert(
        fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(255), fc.boolean(), async (at, value, cut) => {
          const damaged = Buffer.from(bytes);
          damaged[at] = value;
          try {
            await withoutMetadata(cut ? damaged.subarray(0, at) : damaged, 'x');
          } catch (error) {
            expect(error).toMatchObject({ code: 'image-unreadable' });
          }
        }),
        { numRuns: 200 },
      );
    }
  });
});
