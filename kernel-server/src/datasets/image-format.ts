/** Image formats by their first bytes: what a file is called decides nothing. */

export type ImageFormat = 'jpeg' | 'png' | 'gif' | 'webp' | 'tiff' | 'avif' | 'dicom';

/** Decoded size above which a file is taken for a decompression bomb (16,384²; CWE-409). */
export const MAX_PIXELS = 268_435_456;

/** Bytes that {@link imageFormat} looks at. */
export const FORMAT_BYTES = 132;

/**
 * The format, null for any other content. The decoder would take more: documents such as SVG, which can name
 * other files, and formats that nobody tests against hostile files.
 */
export function imageFormat(start: Buffer): ImageFormat | null {
  if (start.subarray(0, 3).equals(Buffer.from([0xff, 0xd8, 0xff]))) return 'jpeg';
  if (start.subarray(0, 8).equals(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'))) return 'png';
  const ascii = start.subarray(0, FORMAT_BYTES).toString('latin1');
  if (ascii.startsWith('GIF87a') || ascii.startsWith('GIF89a')) return 'gif';
  if (ascii.startsWith('RIFF') && ascii.slice(8, 12) === 'WEBP') return 'webp';
  // BigTIFF has 43 where TIFF has 42.
  if (['II*\0', 'MM\0*', 'II+\0', 'MM\0+'].includes(ascii.slice(0, 4))) return 'tiff';
  if (ascii.slice(4, 8) === 'ftyp' && ['avif', 'avis', 'mif1'].includes(ascii.slice(8, 12))) return 'avif';
  // DICOM part 10, section 7.1: a preamble of 128 bytes of any content, then the prefix.
  if (ascii.slice(128, 132) === 'DICM') return 'dicom';
  return null;
}
