import { open, realpath, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { DermcapError } from '../errors.js';

/** Where bytes come from: a file, or a test's buffer. */
export interface ByteSource {
  /** Real path, for tensor views and messages. */
  readonly path: string;
  readonly byteLength: number;
  /**
   * Exactly `length` bytes from `offset` in memory of their own (offset 0 of their buffer).
   * @throws DermcapError `checkpoint-truncated` when the source ends before
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A regular file. Only what is asked for is read. */
export class FileSource implements ByteSource {
  private constructor(
    readonly path: string,
    readonly byteLength: number,
    private readonly handle: FileHandle,
  ) {}

  /**
   * @throws DermcapError `checkpoint-missing` | `checkpoint-is-folder` | `checkpoint-not-a-file` |
   *   `checkpoint-unreadable`
   */
  static async open(path: string): Promise<FileSource> {
    try {
      const real = await realpath(path);
      // Asked before opening: opening a named pipe would wait for a writer for ever.
      const info = await stat(real);
      if (info.isDirectory())
        throw new DermcapError('checkpoint-is-folder', `${path} is a folder, not a checkpoint file.`, {
          hint: 'Name the .pt or .safetensors file inside it.',
        });
      if (!info.isFile())
        throw new DermcapError(
          'checkpoint-not-a-file',
          `${path} is a device or pipe, not a checkpoint file.`,
        );
      return new FileSource(real, info.size, await open(real, 'r'));
    } catch (cause) {
      if (cause instanceof DermcapError) throw cause;
      const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
      if (reason === 'ENOENT' || reason === 'ENOTDIR')
        throw new DermcapError('checkpoint-missing', `${path} does not exist.`, { cause });
      throw new DermcapError('checkpoint-unreadable', `${path} cannot be opened (${reason}).`, {
        hint: 'Check that you may read the file and that its disk is mounted.',
        cause,
      });
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.byteLength))
      throw endsBefore(this.path, this.byteLength, offset + length);
    const bytes = new Uint8Array(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  /** Fills `bytes` from `offset`. */
  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesRead } = await this.handle.read(bytes, done, bytes.length - done, offset + done);
      if (bytesRead === 0) throw endsBefore(this.path, offset + done, offset + bytes.length);
      done += bytesRead;
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/** The error for a read past the end. */
export function endsBefore(path: string, byteLength: number, needed: number): DermcapError {
  return new DermcapError(
    'checkpoint-truncated',
    `${path} is truncated: it ends at byte ${byteLength}, but ${needed} bytes are needed.`,
    { hint: 'The download or copy was probably cut off: fetch the file again.' },
  );
}
