/** Byte sources for tests: what is read is counted. */
import { fileURLToPath } from 'node:url';
import { endsBefore } from './byteSource.js';
import type { ByteSource } from './byteSource.js';

/** A file of `test/fixtures/checkpoint`. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../../test/fixtures/checkpoint/${name}`, import.meta.url));
}

/** A file that is zero everywhere but in some pieces: as large as a test needs, at no cost. */
export class SparseSource implements ByteSource {
  readonly path = '/test/checkpoint.pt';
  bytesRead = 0;
  reads = 0;

  constructor(
    readonly byteLength: number,
    private readonly pieces: readonly (readonly [offset: number, bytes: Uint8Array])[],
  ) {}

  static of(bytes: Uint8Array): SparseSource {
    return new SparseSource(bytes.length, [[0, bytes]]);
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.byteLength))
      throw endsBefore(this.path, this.byteLength, offset + length);
    this.bytesRead += length;
    this.reads++;
    const result = new Uint8Array(length);
    for (const [at, bytes] of this.pieces) {
      const from = Math.max(offset, at);
      const to = Math.min(offset + length, at + bytes.length);
      if (from < to) result.set(bytes.subarray(from - at, to - at), from - offset);
    }
    return result;
  }
}
