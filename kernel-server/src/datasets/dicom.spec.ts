import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dicomPicture } from './dicom.js';
import { FIXTURES } from './testFolder.js';

const file = (name: string): Promise<Buffer> => readFile(join(FIXTURES, 'dicom', name));
const expected = JSON.parse(await readFile(join(FIXTURES, 'dicom', 'expected.json'), 'utf8')) as Record<
  string,
  { shape: number[]; hex: string }
>;

/** Rows of 8-bit triples. */
async function pixelsOf(name: string): Promise<Buffer> {
  const picture = await dicomPicture(await file(name), name);
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  expect([info.height, info.width, info.channels]).toEqual([10, 12, 3]);
  return data;
}

describe('DICOM pictures', () => {
  // Converted colours and decoded JPEGs may differ by rounding; YBR in 4:2:2 loses colour between two pixels.
  it.each(
    Object.keys(expected).map(name => [name, /jpeg/.test(name) ? 12 : /ybr/.test(name) ? 2 : 0] as const),
  )('reads %s as pydicom does, within %i', async (name, tolerance) => {
    const { shape, hex } = expected[name]!;
    const stored = Buffer.from(hex, 'hex');
    const reference =
      shape.length === 3 ? stored : Buffer.from([...stored].flatMap(value => [value, value, value]));
    const data = await pixelsOf(name);
    expect(data.length).toBe(reference.length);
    const differences = data.map((value, at) => Math.abs(value - reference[at]!));
    expect(Math.max(...differences)).toBeLessThanOrEqual(tolerance);
  });

  it('refuses a file that names a person, without repeating the name, unless only pixels are wanted', async () => {
    const bytes = await file('refused-named.dcm');
    const refused = await dicomPicture(bytes, 'x.dcm').catch((error: unknown) => error as Error);
    expect(refused).toMatchObject({
      code: 'dicom-identifiable',
      message: '“x.dcm” can tell whose picture it is: it has PatientName, PatientBirthDate.',
    });
    expect(JSON.stringify(refused)).not.toMatch(/Doe|1970/);
    const stripped = await (await dicomPicture(bytes, 'x.dcm', { strip: true })).png().toBuffer();
    expect(stripped.toString('latin1')).not.toMatch(/Doe|1970/);
  });

  it('takes a pseudonym where the file says that identity was removed', async () => {
    expect((await pixelsOf('pseudonym.dcm')).toString('hex')).toBe(expected['rgb.dcm']!.hex);
  });

  it.each([
    ['refused-burned-in.dcm', 'dicom-burned-in', 'words are burned into its picture'],
    ['refused-lossless.dcm', 'dicom-unsupported', 'is stored as JPEG lossless, which is not read here'],
    ['refused-frames.dcm', 'dicom-unsupported', 'has 2 frames where a picture has one'],
  ])('refuses %s', async (name, code, sentence) => {
    await expect(dicomPicture(await file(name), name, { strip: true })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(sentence) as string,
    });
  });

  it('answers damage with pixels or a sentence', async () => {
    for (const name of ['rgb.dcm', 'jpeg.dcm', 'palette.dcm', 'deflated.dcm']) {
      const bytes = await file(name);
      await fc.assert(
        fc.asyncProperty(
          fc.option(fc.nat(bytes.length - 1), { nil: bytes.length }),
          fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 6 }),
          async (length, changes) => {
            const damaged = Buffer.from(bytes);
            for (const [at, value] of changes) damaged[at] = value;
            try {
              await dicomPicture(damaged.subarray(0, length), 'x.dcm', { strip: true });
            } catch (error) {
              expect(error).toMatchObject({ code: expect.stringMatching(/^(?:dicom|image)-/) as string });
            }
          },
        ),
        { numRuns: 100 },
      );
    }
  });
});
