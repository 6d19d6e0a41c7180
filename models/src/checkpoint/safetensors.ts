/**
 * safetensors: length of the header (uint64), a JSON header `{name: {dtype, shape, data_offsets}}`, the bytes.
 * Format and its rules (no gaps, no overlaps): https://github.com/huggingface/safetensors, README, "Format".
 */
import { DermcapError } from '../errors.js';
import { endsBefore } from './byteSource.js';
import type { ByteSource } from './byteSource.js';
import { MAX_DIMENSIONS, MAX_SAFETENSORS_HEADER_BYTES, MAX_TENSORS } from './limits.js';
import type { PickleValue } from './values.js';
import { printable } from './refusal.js';
import { DTYPE_SIZE } from './tensor.js';
import type { DType, TensorView } from './tensor.js';

const LENGTH_BYTES = 8;

const DTYPES: Record<string, DType> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U8: 'uint8',
  BOOL: 'bool',
};

/** Whether a file that begins with these bytes is of this format, complete or not. */
export function beginsAsSafetensors(head: Uint8Array): boolean {
  if (head.length <= LENGTH_BYTES || head[LENGTH_BYTES] !== 0x7b /* { */) return false;
  const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  // Text that happens to have a brace there has letters, that is huge numbers, for a length.
  return length >= 2n && length < 1n << 32n;
}

/**
 * @returns name → view, in the file's order, and the header's `__metadata__`
 * @throws DermcapError naming what is damaged, truncated or not read
 */
export async function openSafetensors(
  source: ByteSource,
): Promise<{ root: Map<string, PickleValue>; metadata: Record<string, string> }> {
  const { path } = source;
  const damaged = (what: string, cause?: unknown) =>
    new DermcapError('checkpoint-damaged', `${path} is damaged: ${what}.`, {
      hint: 'Fetch the file again.',
      cause,
    });

  const headerBytes = Number(new DataView((await source.read(0, LENGTH_BYTES)).buffer).getBigUint64(0, true));
  if (headerBytes > MAX_SAFETENSORS_HEADER_BYTES)
    throw new DermcapError(
      'checkpoint-limit',
      `${path} claims a header of ${headerBytes} bytes; at most ${MAX_SAFETENSORS_HEADER_BYTES} are read.`,
    );
  let header: unknown;
  const bytes = await source.read(LENGTH_BYTES, headerBytes);
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw damaged('its header is not JSON', cause);
  }
  if (!isRecord(header)) throw damaged('its header is no object');

  const begin = LENGTH_BYTES + headerBytes;
  const metadata: [string, string][] = [];
  const tensors: { name: string; view: TensorView; end: number }[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      if (!isRecord(entry) || Object.values(entry).some(value => typeof value !== 'string'))
        throw damaged('its __metadata__ holds other things than texts');
      metadata.push(...(Object.entries(entry) as [string, string][]));
      continue;
    }
    const shown = printable(name);
    if (!isRecord(entry) || typeof entry['dtype'] !== 'string')
      throw damaged(`the entry of ${shown} has no dtype`);
    if (!Object.hasOwn(DTYPES, entry['dtype']))
      throw new DermcapError(
        'checkpoint-unsupported',
        `${path}: the tensor ${shown} has the type ${printable(entry['dtype'])}, which DermCap does not read.`,
        { hint: `Convert it to one of ${Object.keys(DTYPES).join(', ')}.` },
      );
    const dtype = DTYPES[entry['dtype']]!;
    const { shape, data_offsets: range } = entry;
    if (!isCounts(shape) || shape.length > MAX_DIMENSIONS || !isCounts(range) || range.length !== 2)
      throw damaged(`the entry of ${shown} has an impossible shape or range`);
    const [from, to] = range as [number, number];
    // An inexact product is beyond the safe integers and equals no range.
    if (to - from !== shape.reduce((product, n) => product * n, 1) * DTYPE_SIZE[dtype])
      throw damaged(`the range of ${shown} does not fit its shape`);
    if (begin + to > source.byteLength) throw endsBefore(path, source.byteLength, begin + to);
    if (tensors.length >= MAX_TENSORS)
      throw new DermcapError('checkpoint-limit', `${path} holds more than ${MAX_TENSORS} tensors.`);
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
    tensors.push({
      name,
      view: { file: path, offset: begin + from, dtype, shape, strides, storage: name },
      end: begin + to,
    });
  }

  let at = begin;
  for (const { name, view, end } of [...tensors].sort(
    (a, b) => a.view.offset - b.view.offset || a.end - b.end,
  )) {
    if (view.offset !== at) throw damaged(`there is a gap or an overlap before ${printable(name)}`);
    at = end;
  }
  if (at !== source.byteLength) throw damaged('bytes follow that belong to no tensor');
  return {
    root: new Map(tensors.map(({ name, view }) => [name, view])),
    metadata: Object.fromEntries(metadata),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(item => Number.isSafeInteger(item) && (item as number) >= 0);
}
