/** Writers of pickles and zips for tests: they can also write what torch never would. */

export interface TestTensor {
  name: string;
  key: string;
  /** Elements of the fp32 storage. */
  elements: number;
  offset: number;
  shape: number[];
  strides: number[];
}

/** A protocol 2 pickle of {name: tensor}, as torch.save writes it. */
export function tensorPickle(tensors: readonly TestTensor[]): Uint8Array<ArrayBuffer> {
  const entries = tensors.map(({ name, key, elements, offset, shape, strides }) => [
    text(name),
    global('torch._utils', '_rebuild_tensor_v2'),
    [
      ...['(', '('],
      ...[text('storage'), global('torch', 'FloatStorage'), text(key), text('cpu'), int(elements), 't', 'Q'],
      ...[int(offset), tuple(shape.map(int)), tuple(strides.map(int))],
      ...['\x89', global('collections', 'OrderedDict'), ')', 'R', 't', 'R'],
    ],
  ]);
  return pickle('}', '(', ...entries.flat(2), 'u');
}

/** A protocol 2 pickle of these opcodes (text is Latin-1 bytes). */
export function pickle(...opcodes: (string | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  return join(['\x80\x02', ...opcodes, '.'].map(part => (typeof part === 'string' ? latin1(part) : part)));
}

export function global(module: string, name: string): Uint8Array {
  return latin1(`c${module}\n${name}\n`);
}

/** BINUNICODE */
export function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return join([latin1('X'), little(4, bytes.length), bytes]);
}

/** LONG1 of eight bytes, for every number */
export function int(value: number): Uint8Array {
  const bytes = new Uint8Array(10);
  bytes.set([0x8a, 8]);
  new DataView(bytes.buffer).setBigInt64(2, BigInt(value), true);
  return bytes;
}

export function tuple(items: readonly Uint8Array[]): Uint8Array {
  return join([latin1('('), ...items, latin1('t')]);
}

export function latin1(value: string): Uint8Array {
  return Uint8Array.from(value, character => character.charCodeAt(0));
}

export interface TestRecord {
  name: string;
  /** Its bytes, or how many zeros it has. */
  content: Uint8Array | number;
}

export interface SparseZip {
  byteLength: number;
  pieces: [offset: number, bytes: Uint8Array][];
}

/**
 * A zip as torch writes it: stored, data descriptors, payloads aligned to 64 bytes, zip64 end. Runs of zeros take
 * no memory.
 */
export function torchZip(records: readonly TestRecord[]): SparseZip {
  const pieces: SparseZip['pieces'] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, content } of records) {
    const nameBytes = new TextEncoder().encode(name);
    const size = typeof content === 'number' ? content : content.length;
    const padding = (64 - ((at + 30 + nameBytes.length + 4) % 64)) % 64;
    const head = join([
      ...[little(4, 0x04034b50), little(2, 45), little(2, 0x0808), little(2, 0), little(4, 0)],
      ...[little(4, 0), little(4, 0), little(4, 0), little(2, nameBytes.length), little(2, 4 + padding)],
      ...[nameBytes, little(2, 0x4246), little(2, padding), new Uint8Array(padding)],
    ]);
    const wide = at > 0xffffffff || size > 0xffffffff;
    const extra = wide
      ? join([little(2, 1), little(2, 24), little(8, size), little(8, size), little(8, at)])
      : latin1('');
    const narrow = (value: number) => little(4, wide ? 0xffffffff : value);
    directory.push(
      ...[little(4, 0x02014b50), little(2, 45), little(2, 45), little(2, 0x0808), little(2, 0), little(4, 0)],
      ...[little(4, 0), narrow(size), narrow(size), little(2, nameBytes.length), little(2, extra.length)],
      ...[little(2, 0), little(2, 0), little(2, 0), little(4, 0), narrow(at), nameBytes, extra],
    );
    pieces.push([at, head]);
    if (typeof content !== 'number') pieces.push([at + head.length, content]);
    at += head.length + size;
    const descriptor = join([little(4, 0x08074b50), little(4, 0), little(8, size), little(8, size)]);
    pieces.push([at, descriptor]);
    at += descriptor.length;
  }
  const bytes = join(directory);
  const end = join([
    ...[
      bytes,
      little(4, 0x06064b50),
      little(8, 44),
      little(2, 45),
      little(2, 45),
      little(4, 0),
      little(4, 0),
    ],
    ...[little(8, records.length), little(8, records.length), little(8, bytes.length), little(8, at)],
    ...[little(4, 0x07064b50), little(4, 0), little(8, at + bytes.length), little(4, 1)],
    ...[little(4, 0x06054b50), little(2, 0), little(2, 0), little(2, 0xffff), little(2, 0xffff)],
    ...[little(4, 0xffffffff), little(4, 0xffffffff), little(2, 0)],
  ]);
  pieces.push([at, end]);
  return { byteLength: at + end.length, pieces };
}

function little(size: number, value: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** i) % 256);
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
