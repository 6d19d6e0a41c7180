/**
 * What a file is by its first bytes, whatever its name says. Only the five formats below reach the decoder: its
 * library would also draw SVG and unpack others that the reference does not read.
 */
export interface ImageFormat {
  readonly name: string;
  readonly supported: boolean;
}

interface Signature extends ImageFormat {
  readonly at: number;
  /** Latin-1. */
  readonly bytes: string;
}

const SIGNATURES: readonly Signature[] = [
  { name: 'JPEG', supported: true, at: 0, bytes: '\xff\xd8\xff' },
  { name: 'PNG', supported: true, at: 0, bytes: '\x89PNG\r\n\x1a\n' },
  { name: 'WebP', supported: true, at: 8, bytes: 'WEBP' },
  { name: 'TIFF', supported: true, at: 0, bytes: 'II*\0' },
  { name: 'TIFF', supported: true, at: 0, bytes: 'MM\0*' },
  { name: 'GIF', supported: true, at: 0, bytes: 'GIF87a' },
  { name: 'GIF', supported: true, at: 0, bytes: 'GIF89a' },
  { name: 'DICOM', supported: false, at: 128, bytes: 'DICM' },
  { name: 'HEIF or AVIF', supported: false, at: 4, bytes: 'ftyp' },
  { name: 'JPEG 2000', supported: false, at: 4, bytes: 'jP  ' },
  { name: 'JPEG XL', supported: false, at: 0, bytes: '\xff\x0a' },
  { name: 'BigTIFF', supported: false, at: 0, bytes: 'II+\0' },
  { name: 'BigTIFF', supported: false, at: 0, bytes: 'MM\0+' },
  { name: 'Photoshop', supported: false, at: 0, bytes: '8BPS' },
  { name: 'PDF', supported: false, at: 0, bytes: '%PDF-' },
  { name: 'SVG', supported: false, at: 0, bytes: '<svg' },
  { name: 'BMP', supported: false, at: 0, bytes: 'BM' },
];

/** @returns undefined if the bytes begin as no image format known here */
export function recogniseFormat(bytes: Uint8Array): ImageFormat | undefined {
  const head = String.fromCharCode(...bytes.subarray(0, 132));
  return SIGNATURES.find(signature => head.startsWith(signature.bytes, signature.at));
}
