/**
 * Text files as text, whatever wrote them: UTF-8 with or without byte order mark, UTF-16, and, where a file is
 * not UTF-8 at all, the code pages that spreadsheets save in. Gzip is undone on the way.
 */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { damaged } from './table.js';

export interface Encoding {
  /** A label of the Encoding Standard. */
  name: 'utf-8' | 'utf-16le' | 'utf-16be' | 'gb18030' | 'windows-1252';
  /** Where it is a guess, a sentence that says so. */
  note: string | null;
}

const CHUNK_BYTES = 1 << 18;

async function* bytes(file: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const raw = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  const gunzip = /\.gz$/i.test(file) ? createGunzip({ chunkSize: CHUNK_BYTES }) : null;
  try {
    const stream = gunzip === null ? raw : pipeline(raw, gunzip, () => undefined);
    for await (const chunk of stream) {
      signal?.throwIfAborted();
      yield chunk as Buffer;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (typeof code === 'string' && code.startsWith('Z_'))
      throw damaged(file, '', 'its gzip compression is cut short or damaged', error);
    throw error;
  } finally {
    raw.destroy();
    gunzip?.destroy();
  }
}

/**
 * Finds the encoding by reading the file once.
 * @throws DermcapError `dataset-damaged` when it is UTF-8 with broken characters, with the line
 */
export async function sniffEncoding(file: string, signal?: AbortSignal): Promise<Encoding> {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let first = true;
  let line = 1;
  let foreign: { line: number; unpaired: boolean } | null = null;
  let beyondAscii = false;
  for await (const chunk of bytes(file, signal)) {
    if (first) {
      first = false;
      const wide = wideEncoding(chunk);
      if (wide) return wide;
    }
    if (foreign === null) {
      try {
        beyondAscii ||= /[^\0-\x7f\ufeff]/.test(utf8.decode(chunk, { stream: true }));
        line += newlines(chunk, chunk.length);
        continue;
      } catch {
        const lenient = chunk.toString('utf8');
        beyondAscii ||= /[^\0-\x7f\ufeff\ufffd]/.test(lenient);
        foreign = {
          line: line + lenient.slice(0, lenient.indexOf('\ufffd')).split('\n').length - 1,
          unpaired: false,
        };
      }
    }
    // A run of an even number of high bytes throughout is the mark of a double-byte Chinese code page.
    for (const [run] of chunk.toString('latin1').matchAll(/[\x80-\xff]+/g))
      foreign.unpaired ||= run.length % 2 === 1;
  }
  if (foreign === null) {
    try {
      utf8.decode();
    } catch {
      throw damaged(file, `line ${line}`, 'it ends within a character');
    }
    return { name: 'utf-8', note: null };
  }
  if (beyondAscii) {
    throw damaged(file, `line ${foreign.line}`, 'it is UTF-8 with a character that is broken');
  }
  const name = foreign.unpaired ? 'windows-1252' : 'gb18030';
  return { name, note: `It is not UTF-8 (line ${foreign.line}) and was read as ${name}.` };
}

/** UTF-16 by its byte order mark, or by the zeros that ASCII has in it. */
function wideEncoding(start: Buffer): Encoding | null {
  if (start[0] === 0xff && start[1] === 0xfe) return { name: 'utf-16le', note: null };
  if (start[0] === 0xfe && start[1] === 0xff) return { name: 'utf-16be', note: null };
  const zeros = [0, 0];
  const looked = Math.min(start.length, 4096) & ~1;
  for (let index = 0; index < looked; index++) if (start[index] === 0) zeros[index & 1]!++;
  const name = zeros[1]! > looked / 8 && zeros[0] === 0 ? 'utf-16le' : 'utf-16be';
  if (zeros[0]! + zeros[1]! <= looked / 8 || (zeros[0]! > 0 && zeros[1]! > 0)) return null;
  return { name, note: `It has no byte order mark and was read as ${name}.` };
}

function newlines(chunk: Buffer, end: number): number {
  let count = 0;
  for (let at = chunk.indexOf(10); at !== -1 && at < end; at = chunk.indexOf(10, at + 1)) count++;
  return count;
}

/**
 * The text of a file in pieces, without its byte order mark.
 * @throws DermcapError `dataset-damaged` when it ends within a character
 */
export async function* readText(
  file: string,
  encoding: Encoding,
  signal?: AbortSignal,
): AsyncGenerator<string> {
  const decoder = new TextDecoder(encoding.name, { fatal: encoding.name.startsWith('utf') });
  try {
    for await (const chunk of bytes(file, signal)) {
      const text = decoder.decode(chunk, { stream: true });
      if (text !== '') yield text;
    }
    const rest = decoder.decode();
    if (rest !== '') yield rest;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA') {
      throw damaged(file, '', `it is ${encoding.name} with a character that is broken`, error);
    }
    throw error;
  }
}

/**
 * Lines without their ends, with their numbers from 1.
 * @throws DermcapError `dataset-damaged` where a line is longer than `maxLength` characters
 */
export async function* readLines(
  file: string,
  encoding: Encoding,
  maxLength: number,
  signal?: AbortSignal,
): AsyncGenerator<[number: number, text: string]> {
  let number = 0;
  let rest = '';
  for await (const piece of readText(file, encoding, signal)) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop()!;
    for (const line of lines) yield [++number, line.endsWith('\r') ? line.slice(0, -1) : line];
    if (rest.length > maxLength) throw damaged(file, `line ${number + 1}`, 'it is too long to be a row');
  }
  if (rest !== '') yield [number + 1, rest];
}

/** The first characters of a file. */
export async function readHead(file: string, encoding: Encoding, length: number): Promise<string> {
  let text = '';
  for await (const piece of readText(file, encoding)) {
    text += piece;
    if (text.length >= length) break;
  }
  return text.slice(0, length);
}
