/**
 * Pillow's two passes, summed in WebAssembly for its SIMD (docs/decisions/004-resampling-in-webassembly.md). The
 * source goes to the kernel's memory strip by strip; what lies between the passes stays there.
 */
import { kernelWith } from './kernel.js';
import type { Taps } from './taps.js';

/** Of the source in the kernel's memory at a time, unless the rows of a single output row are more. */
const STRIP_BYTES = 4e6;
/** Bits of a weight's low half. */
const LOW_BITS = 11;
const LOW_MASK = (1 << LOW_BITS) - 1;

/** RGB pixels of `data` from byte `start`, `stride` bytes a row. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly start: number;
  readonly stride: number;
}

/**
 * Sums pixels along both axes, rounded to 8 bits after each.
 * @param source begins with the first pixel that any output needs
 * @param columnsFirst the vertical pass before the horizontal one
 * @returns [vertical.outputs, horizontal.outputs, 3]
 */
export function resample(
  source: Pixels,
  horizontal: Taps,
  vertical: Taps,
  columnsFirst: boolean,
  stripBytes = STRIP_BYTES,
): Uint8Array {
  const { data, start, stride } = source;
  const rows = vertical.end - vertical.first;
  const width = 3 * (horizontal.end - horizontal.first);
  const { outputs: resultColumns } = horizontal;
  const { outputs: resultRows } = vertical;
  const resultWidth = 3 * resultColumns;
  const betweenStride = padded(columnsFirst ? width : resultWidth);
  const betweenRows = columnsFirst ? resultRows : rows;
  const resultStride = padded(resultWidth);
  const leastRows = columnsFirst ? vertical.size : 1;
  const stripRows = Math.min(rows, Math.max(leastRows, Math.floor(stripBytes / stride)));
  const across = records(horizontal);
  const down = records(vertical);

  let size = 0;
  const place = (bytes: number) => {
    const at = size;
    size += padded(bytes + 15);
    return at;
  };
  const acrossAt = place(across.byteLength);
  const downAt = place(down.byteLength);
  // Behind the last row, one that makes a pair or three that make a four.
  const strip = place((stripRows + 1) * stride);
  const between = place((betweenRows + 3) * betweenStride);
  const result = place((resultRows + 3) * resultStride);

  const { memory, resampleRows, resampleColumns } = kernelWith(size);
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(new Uint8Array(across.buffer), acrossAt);
  bytes.set(new Uint8Array(down.buffer), downAt);
  const fillStrip = (from: number, to: number) =>
    bytes.set(data.subarray(start + from * stride, start + (to - 1) * stride + width), strip);
  const acrossRecord = recordBytes(horizontal);
  const downRecord = recordBytes(vertical);
  const rowsPass = (from: number, fromStride: number, count: number, to: number, toStride: number) =>
    resampleRows(from, fromStride, count, acrossAt, acrossRecord, resultColumns, to, toStride);

  if (columnsFirst) {
    for (const { output, outputs, first, end } of groups(vertical, stripRows)) {
      fillStrip(first, end);
      // Records count rows from the source's first, wherever the strip begins.
      const from = strip - first * stride;
      const taps = downAt + output * downRecord;
      const to = between + output * betweenStride;
      resampleColumns(from, stride, width, taps, downRecord, outputs, to, betweenStride);
    }
    rowsPass(between, betweenStride, resultRows, result, resultStride);
  } else {
    for (let y = 0; y < rows; y += stripRows) {
      const count = Math.min(rows - y, stripRows);
      fillStrip(y, y + count);
      rowsPass(strip, stride, count, between + y * betweenStride, betweenStride);
    }
    resampleColumns(
      between,
      betweenStride,
      resultWidth,
      downAt,
      downRecord,
      resultRows,
      result,
      resultStride,
    );
  }

  const pixels = new Uint8Array(resultRows * resultWidth);
  for (let y = 0; y < resultRows; y++) {
    const row = result + y * resultStride;
    pixels.set(bytes.subarray(row, row + resultWidth), y * resultWidth);
  }
  return pixels;
}

/** Output rows in turn, as many at a time as have their source rows among `limit` successive ones. */
function* groups({ outputs, bounds }: Taps, limit: number) {
  const first = (y: number) => bounds[2 * y]!;
  const end = (y: number) => first(y) + bounds[2 * y + 1]!;
  for (let output = 0, next = 0; output < outputs; output = next) {
    do next++;
    while (next < outputs && end(next) - first(output) <= limit);
    yield { output, outputs: next - output, first: first(output), end: end(next - 1) };
  }
}

/** What the kernel calls `taps`. */
function records(taps: Taps): Int32Array {
  const { outputs, bounds, weights, size } = taps;
  const words = recordBytes(taps) / 4;
  const result = new Int32Array(outputs * words);
  for (let x = 0; x < outputs; x++) {
    const count = bounds[2 * x + 1]!;
    let at = x * words;
    result[at++] = bounds[2 * x]!;
    result[at++] = Math.ceil(count / 2);
    for (let i = 0; i < count; i += 2) {
      const one = weights[x * size + i]!;
      const other = i + 1 < count ? weights[x * size + i + 1]! : 0;
      result[at++] = int16Pair(one >> LOW_BITS, other >> LOW_BITS);
      result[at++] = int16Pair(one & LOW_MASK, other & LOW_MASK);
    }
  }
  return result;
}

/** Two words, and two for each pair of weights. */
function recordBytes({ size }: Taps): number {
  return 4 * (2 + 2 * Math.ceil(size / 2));
}

function int16Pair(one: number, other: number): number {
  return (one & 0xffff) | (other << 16);
}

/** Room for the byte that a row pass writes behind its end, and for whole vectors. */
function padded(bytes: number): number {
  return (bytes + 16) & ~15;
}
