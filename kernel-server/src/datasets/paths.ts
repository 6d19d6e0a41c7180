/**
 * Paths from the outside: relative to the server's root, `/` between parts. Nothing outside the root's real
 * path is ever opened, whether the way out is `..`, an absolute path or a symbolic link.
 */
import { realpath } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';

/** Longer than any path a file system takes (Linux PATH_MAX): refused before the disk is asked. */
const MAX_PATH_LENGTH = 4096;
/** NUL ends a path early; a backslash is part of a name unless the system takes it for a separator. */
const FORBIDDEN = sep === '\\' ? /[\0\\]/ : /\0/;

function outside(path: string): DermcapError {
  return new DermcapError('path-outside-root', `“${shorten(path)}” is not a path inside the root folder.`, {
    hint: 'Give paths relative to the root folder, with “/” between parts; links may not lead out of it.',
  });
}

function missing(path: string): DermcapError {
  return new DermcapError('no-such-file', `There is no “${shorten(path)}” in the root folder.`, {
    hint: 'It may have been moved or deleted; refresh the listing.',
  });
}

/** A path as it may stand in a sentence: control characters shown, length bounded. */
function shorten(path: string): string {
  const plain = path.replace(/\p{Cc}/gu, '\u{fffd}');
  return plain.length > 200 ? `${plain.slice(0, 200)}…` : plain;
}

/**
 * The parts of a relative path, without touching the disk; empty and `.` parts are dropped.
 * @throws DermcapError `path-outside-root` for absolute paths, `..`, NUL bytes and, on Windows, backslashes
 */
export function splitPath(path: string): string[] {
  if (path.length > MAX_PATH_LENGTH || path.startsWith('/') || FORBIDDEN.test(path)) throw outside(path);
  const parts = path.split('/').filter(part => part !== '' && part !== '.');
  if (parts.includes('..')) throw outside(path);
  return parts;
}

function isInside(rootRealPath: string, candidate: string): boolean {
  const root = rootRealPath.endsWith(sep) ? rootRealPath : rootRealPath + sep;
  return candidate === rootRealPath || candidate.startsWith(root);
}

/**
 * The real path of a file or folder inside the root.
 * @param rootRealPath the root with its own links resolved
 * @throws DermcapError `path-outside-root`, or `no-such-file` when nothing is there
 */
export async function resolveInside(rootRealPath: string, path: string): Promise<string> {
  const target = join(rootRealPath, ...splitPath(path));
  const real = await realpathOrNull(target);
  if (real === null) {
    // Whether something outside exists must not show in the answer: judge by what does exist on the way.
    for (let parent = dirname(target); isInside(rootRealPath, parent); parent = dirname(parent)) {
      const realParent = await realpathOrNull(parent);
      if (realParent === null) continue;
      throw isInside(rootRealPath, realParent) ? missing(path) : outside(path);
    }
    throw missing(path);
  }
  if (!isInside(rootRealPath, real)) throw outside(path);
  return real;
}

async function realpathOrNull(path: string): Promise<string | null> {
  try {
    return await realpath(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code && ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EACCES'].includes(code)) return null;
    throw error;
  }
}
