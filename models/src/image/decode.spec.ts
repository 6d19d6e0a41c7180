import { describe, expect, it } from 'vitest';
import { decodeImage } from './decode.js';
import { imagePath, pixelsPath, readGoldens, sha256 } from './testGoldens.js';

const { images } = readGoldens();
const turned = Object.entries(images).filter(([, golden]) => golden.oriented);

describe('reads the same pixels as Pillow', () => {
  it.each(Object.entries(images))('%s', async (name, golden) => {
    const { width, height, data } = await decodeImage(imagePath(name));
    expect([width, height]).toEqual([golden.width, golden.height]);
    expect(sha256(data)).toBe(golden.rgb);
  });
});

describe('turns an image only if asked', () => {
  it.each(turned)('%s', async (name, { oriented }) => {
    const { width, height, data } = await decodeImage(imagePath(name), { autoOrient: true });
    expect([width, height]).toEqual([oriented!.width, oriented!.height]);
    expect(sha256(data)).toBe(oriented!.rgb);
  });

  it('covers all eight orientations', () => {
    expect(turned.filter(([name]) => name.startsWith('jpeg'))).toHaveLength(8);
  });
});

it('differs from Pillow only in the clear pixels of a GIF, which its decoder leaves black', async () => {
  const ours = await decodeImage(imagePath('gif-one-clear.gif'));
  const theirs = await decodeImage(pixelsPath('gif-one-clear.gif'));
  let different = 0;
  let greatest = 0;
  for (let at = 0; at < theirs.data.length; at += 3) {
    const pixel = ours.data.subarray(at, at + 3);
    const reference = theirs.data.subarray(at, at + 3);
    if (pixel.every((value, c) => value === reference[c])) continue;
    expect([...pixel]).toEqual([0, 0, 0]);
    different++;
    greatest = Math.max(greatest, ...reference);
  }
  expect({ different, greatest }).toEqual({ different: 58, greatest: 210 });
});
