/**
 * Decompression of Parquet pages: by Node's zlib where it knows the codec, natively; LZ4 by hyparquet-compressors;
 * Snappy is hyparquet's own.
 */
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import type { Compressors } from 'hyparquet';
import { compressors as portable } from 'hyparquet-compressors';

/** A page that claims more, unpacked, is none (CWE-409). */
const MAX_PAGE_BYTES = 2 ** 31 - 1;

/** Nothing, compressed, is a lone byte in LZ4, which the library takes for the start of a sequence. */
const unlessEmpty =
  (codec: 'LZ4' | 'LZ4_RAW') =>
  (input: Uint8Array, outputLength: number): Uint8Array =>
    outputLength === 0 ? new Uint8Array() : portable[codec]!(input, outputLength);

const options = (outputLength: number): { maxOutputLength: number } => ({
  maxOutputLength: Math.min(Math.max(outputLength, 1), MAX_PAGE_BYTES),
});

export const compressors: Compressors = {
  ...portable,
  GZIP: (input, outputLength) => gunzipSync(input, options(outputLength)),
  BROTLI: (input, outputLength) => brotliDecompressSync(input, options(outputLength)),
  ZSTD: (input, outputLength) => zstdDecompressSync(input, options(outputLength)),
  LZ4: unlessEmpty('LZ4'),
  LZ4_RAW: unlessEmpty('LZ4_RAW'),
};
