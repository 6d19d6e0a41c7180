/**
 * One process per study. The lock is SQLite's own RESERVED lock on a small database beside the study,
 * `.NAME.dermcap.lock`, which also says who holds it. The system lets go of it when a process dies, however it
 * dies, so there are no stale locks to judge. The file stays behind: taking it away could take it from another.
 */
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DermcapError } from '@dermcap/models/errors';
import { resultCode, storeError } from './failures.js';

const BUSY = 5;

/** Who has a study open. */
export interface LockOwner {
  host: string;
  pid: number;
  /** Where the study can be seen; null for a command. */
  url: string | null;
  sinceMs: number;
}

export interface StudyLock {
  /** True when the process before did not close the study in order. */
  readonly afterCrash: boolean;
  release(): void;
}

export function lockPath(file: string): string {
  return join(dirname(file), `.${basename(file)}.lock`);
}

/**
 * Takes the lock of a study.
 * @throws DermcapError `study-in-use` with who has it, or `study-read-only` where the lock cannot be written
 */
export function lockStudy(file: string, url: string | null): StudyLock {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(lockPath(file));
    return hold(database, { host: hostname(), pid: process.pid, url, sinceMs: Date.now() });
  } catch (error) {
    const owner = resultCode(error) === BUSY ? readOwner(database) : null;
    database?.close();
    if (resultCode(error) === BUSY) throw inUse(file, owner);
    throw storeError(error);
  }
}

function hold(database: DatabaseSync, owner: LockOwner): StudyLock {
  database.exec('PRAGMA journal_mode = DELETE');
  database.exec('BEGIN IMMEDIATE');
  database.exec('CREATE TABLE IF NOT EXISTS owner (owner TEXT NOT NULL, closed INTEGER NOT NULL)');
  const before = database.prepare('SELECT closed FROM owner').get() as { closed: number } | undefined;
  database.exec('DELETE FROM owner');
  database.prepare('INSERT INTO owner VALUES (?, 0)').run(JSON.stringify(owner));
  database.exec('COMMIT');
  // Held until the end: others may read who it is, but not write.
  database.exec('BEGIN IMMEDIATE');
  return {
    afterCrash: before?.closed === 0,
    release() {
      try {
        database.exec('UPDATE owner SET closed = 1; COMMIT');
      } catch {
        // A full disk must not keep the study from being closed; the next to open it checks it.
      }
      database.close();
    },
  };
}

function readOwner(database: DatabaseSync | null): LockOwner | null {
  try {
    const row = database?.prepare('SELECT owner FROM owner').get() as { owner: string } | undefined;
    return row ? (JSON.parse(row.owner) as LockOwner) : null;
  } catch {
    return null;
  }
}

function inUse(file: string, owner: LockOwner | null): DermcapError {
  const name = basename(file);
  if (!owner) {
    return new DermcapError('study-in-use', `“${name}” is being opened by another program.`, {
      hint: 'Try again in a moment.',
    });
  }
  const where = owner.url ?? `a command (process ${owner.pid})`;
  const host = owner.host === hostname() ? 'this computer' : owner.host;
  const since = new Date(owner.sinceMs).toISOString().slice(0, 16).replace('T', ' ');
  return new DermcapError('study-in-use', `“${name}” is open in ${where} on ${host}, since ${since} UTC.`, {
    hint: 'Use it there, or close it there first.',
  });
}
