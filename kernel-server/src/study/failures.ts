/**
 * What goes wrong in a study's file, in words. Result codes are SQLite's (https://sqlite.org/rescode.html).
 */
import { DermcapError } from '@dermcap/models/errors';

const BUSY = 5;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;

/** The primary result code of an error of `node:sqlite`; null for any other error. */
export function resultCode(error: unknown): number | null {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return code === 'ERR_SQLITE_ERROR' && typeof errcode === 'number' ? errcode & 0xff : null;
}

/** The error to throw on: a sentence where the file, the disk or another program is at fault. */
export function storeError(error: unknown): unknown {
  const options = { cause: error };
  switch (resultCode(error)) {
    case FULL:
      return new DermcapError('disk-full', 'The disk is full: this was not saved.', {
        hint: 'Make room and try again. Everything saved before is safe.',
        ...options,
      });
    case IOERR:
      return new DermcapError('study-write-failed', 'The study’s file cannot be read or written.', {
        hint: 'Is its disk full or gone? Everything saved before is safe.',
        ...options,
      });
    case READONLY:
      return new DermcapError('study-read-only', 'The study’s file cannot be written.', {
        hint: 'Check the permissions of the file and its folder, or copy it to a place of your own.',
        ...options,
      });
    case CANTOPEN:
      return new DermcapError('study-unreachable', 'The study’s file cannot be opened.', {
        hint: 'Check the permissions of the file and its folder.',
        ...options,
      });
    case BUSY:
      return new DermcapError('study-busy', 'Another program is using the study’s file.', {
        hint: 'Close the other program, or try again.',
        ...options,
      });
    case CORRUPT:
    case NOTADB:
      return new DermcapError('study-damaged', 'The study’s file is damaged.', {
        hint: 'Keep it as it is, open a backup, and see what “dermcap study check” says.',
        ...options,
      });
    default:
      return error;
  }
}
