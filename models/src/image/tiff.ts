/** How a TIFF says its colours are to be understood (TIFF 6.0, sections 2 and 8), of its first image. */
export interface TiffColours {
  readonly photometric: number;
  readonly compression: number;
}

const COMPRESSION = 259;
const PHOTOMETRIC = 262;
const YCBCR = 6;
/** White or black is zero, RGB, palette, inks. */
const READ_AS_THEY_ARE: readonly number[] = [0, 1, 2, 3, 5];
/** Old-style and new-style: there the JPEG decoder makes RGB of YCbCr. */
const JPEG: readonly number[] = [6, 7];
const NAMES: Record<number, string> = {
  [YCBCR]: 'YCbCr without JPEG',
  8: 'CIE L*a*b*',
  9: 'ICC L*a*b*',
  32844: 'LogL',
};

/** @returns undefined if the file is too short for its first directory, or has none */
export function tiffColours(bytes: Buffer): TiffColours | undefined {
  const little = bytes[0] === 0x49;
  const u16 = (at: number) => (little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
  try {
    const directory = little ? bytes.readUInt32LE(4) : bytes.readUInt32BE(4);
    let [photometric, compression] = [1, 1];
    for (let entry = 0, at = directory + 2; entry < u16(directory); entry++, at += 12) {
      // Both are one SHORT, which lies in the entry itself.
      if (u16(at) === PHOTOMETRIC) photometric = u16(at + 8);
      if (u16(at) === COMPRESSION) compression = u16(at + 8);
    }
    return { photometric, compression };
  } catch (cause) {
    if (cause instanceof RangeError) return undefined;
    throw cause;
  }
}

/** @returns the name of colours that libvips hands on as if they were RGB, or cannot read; undefined for the others */
export function unreadTiffColours({ photometric, compression }: TiffColours): string | undefined {
  if (READ_AS_THEY_ARE.includes(photometric)) return undefined;
  if (photometric === YCBCR && JPEG.includes(compression)) return undefined;
  return NAMES[photometric] ?? `photometric interpretation ${photometric}`;
}
