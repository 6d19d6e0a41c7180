/** Bytes of images that lie within tar and Parquet files. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { resolveInside } from './paths.js';
import type { EmbeddedImage } from './source.js';
import { openHeldImages, type HeldImages } from './tables/parquet.js';
import { damaged } from './tables/table.js';

/** An image larger than this is none (CWE-770). */
const MAX_IMAGE_BYTES = 512_000_000;
/** A row group's column up to this size is kept decoded, as rows are mostly asked for in order. */
const MAX_SPAN_BYTES = 128_000_000;
const MAX_OPEN = 4;

interface OpenColumn {
  images: HeldImages;
  /** The rows decoded last. */
  span: { start: number; rows: Promise<(Uint8Array | null)[]> } | null;
}

/** Reads embedded images of one dataset. Files stay unopened between calls, row groups of Parquet are kept. */
export class EmbeddedImages {
  readonly #root: string;
  readonly #columns = new Map<string, Promise<OpenColumn>>();

  /** @param root real path of the dataset's folder */
  constructor(root: string) {
    this.#root = root;
  }

  /**
   * @throws DermcapError `dataset-damaged` where the container does not hold it any more, or as `resolveInside`
   */
  async read(image: EmbeddedImage): Promise<Buffer> {
    const file = await resolveInside(this.#root, image.container);
    return image.in === 'tar' ? readTar(file, image) : this.#readParquet(file, image);
  }

  async #readParquet(file: string, image: EmbeddedImage & { in: 'parquet' }): Promise<Buffer> {
    const column = await this.#column(file, image);
    const span = column.images.span(image.row);
    if (!span) throw damaged(file, `row ${image.row + 1}`, 'the file has no such row');
    let bytes: Uint8Array | null | undefined;
    if (span.sizeBytes > MAX_SPAN_BYTES) [bytes] = await column.images.read(image.row, image.row + 1);
    else {
      if (column.span?.start !== span.start) {
        const rows = column.images.read(span.start, span.end);
        column.span = { start: span.start, rows };
        rows.catch(() => (column.span = null));
      }
      bytes = (await column.span.rows)[image.row - span.start];
    }
    if (!bytes || bytes.byteLength === 0) throw damaged(file, `row ${image.row + 1}`, 'its image is empty');
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #column(file: string, { container, column }: EmbeddedImage & { in: 'parquet' }): Promise<OpenColumn> {
    const key = join(container, column);
    let opened = this.#columns.get(key);
    if (opened) {
      this.#columns.delete(key);
      this.#columns.set(key, opened);
      return opened;
    }
    opened = openHeldImages(file, container, column).then(images => ({ images, span: null }));
    opened.catch(() => this.#columns.delete(key));
    this.#columns.set(key, opened);
    if (this.#columns.size > MAX_OPEN) this.#columns.delete(this.#columns.keys().next().value!);
    return opened;
  }
}

async function readTar(file: string, { offset, sizeBytes }: EmbeddedImage & { in: 'tar' }): Promise<Buffer> {
  if (sizeBytes > MAX_IMAGE_BYTES) throw damaged(file, '', 'a member is too large to be an image');
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(sizeBytes), 0, sizeBytes, offset);
    if (bytesRead < sizeBytes) throw damaged(file, '', 'it was cut short since it was read');
    return buffer;
  } finally {
    await handle.close();
  }
}
