/**
 * Opening a study: one process at a time, the journal that its disk can bear, the schema brought up to date
 * after a backup.
 */
import { open as openFile, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DermcapError } from '@dermcap/models/errors';
import { Kysely } from 'kysely';
import { copyTo } from './backup.js';
import { NodeSqliteDialect } from './dialect.js';
import { storeError } from './failures.js';
import { networkFileSystem } from './filesystem.js';
import { lockStudy, type StudyLock } from './lock.js';
import { migrate, SCHEMA_VERSION, schemaVersion, APPLICATION_ID } from './migrations.js';
import type { StudyTables } from './tables.js';

export const STUDY_EXTENSION = '.dermcap';

/** Older ones can lose a write-ahead log when it is reset (https://sqlite.org/releaselog/3_51_3.html). */
const OLDEST_SQLITE = '3.51.3';
/** How long another program's lock is waited for: one that reads the study, say. */
const BUSY_TIMEOUT_MS = 5000;
const CACHE_KIB = 64 * 1024;
const MAGIC = 'SQLite format 3\0';

export type StudyDatabase = Kysely<StudyTables>;

/** How a study's writes reach the disk. */
export interface StudyStorage {
  journal: 'wal' | 'delete';
  /** The network file system that rules the write-ahead log out; null on a local disk. */
  network: string | null;
}

/** A study's open file. */
export interface StudyFile {
  /** Real path of the file. */
  readonly path: string;
  /** Folder that image paths are relative to. */
  readonly folder: string;
  readonly db: StudyDatabase;
  readonly storage: StudyStorage;
  /** The copy that was made before the schema was changed; null when it was not. */
  readonly backup: string | null;
  /** Copies the study as it is now, while it is in use. */
  backupTo(target: string): Promise<void>;
  /** What `PRAGMA integrity_check` and `foreign_key_check` find wrong; empty for a sound file. */
  check(): string[];
  close(): Promise<void>;
}

export interface OpenStudyOptions {
  /** Make a new study; fails where a file is. */
  create?: boolean;
  /** Where the study can be seen while it is open, told to whoever tries to open it too. */
  url?: string | null;
  env?: NodeJS.ProcessEnv;
}

/**
 * Opens or makes a study.
 * @throws DermcapError `sqlite-too-old`, `no-such-study`, `study-exists`, `not-a-study`, `study-newer`,
 *   `study-in-use`, `study-damaged`, `study-read-only`, `disk-full`
 */
export async function openStudy(path: string, options: OpenStudyOptions = {}): Promise<StudyFile> {
  requireSqlite(process.versions.sqlite);
  const file = await locate(path, options.create ?? false);
  const lock = lockStudy(file, options.url ?? null);
  let database: DatabaseSync | null = null;
  let made = false;
  try {
    if (options.create) {
      await makeEmpty(file);
      made = true;
    } else await requireStudy(file);
    const network = await networkFileSystem(dirname(file), options.env);
    database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS });
    configure(database, network !== null);
    const saved = await upgrade(database, file);
    if (lock.afterCrash) requireSound(database, file);
    return new SqliteStudy(
      file,
      database,
      lock,
      { journal: network === null ? 'wal' : 'delete', network },
      saved,
    );
  } catch (error) {
    database?.close();
    if (made) await rm(file, { force: true });
    lock.release();
    throw storeError(error);
  }
}

/** Refuses an SQLite that is not to be trusted with what it is told to keep.
 * @throws DermcapError `sqlite-too-old` */
export function requireSqlite(version: string | undefined): void {
  const older = (a: number[], b: number[]): boolean => {
    const at = b.findIndex((part, index) => (a[index] ?? 0) !== part);
    return at >= 0 && (a[at] ?? 0) < b[at]!;
  };
  const parts = (text: string): number[] => text.split('.').map(Number);
  if (version !== undefined && !older(parts(version), parts(OLDEST_SQLITE))) return;
  throw new DermcapError(
    'sqlite-too-old',
    `This Node brings SQLite ${version ?? 'of an unknown version'}, which can lose what it was told to keep.`,
    { hint: `Use a Node with SQLite ${OLDEST_SQLITE} or newer: 24.15 or newer.` },
  );
}

async function locate(path: string, create: boolean): Promise<string> {
  const absolute = resolve(path);
  if (!absolute.endsWith(STUDY_EXTENSION) || basename(absolute) === STUDY_EXTENSION) {
    throw new DermcapError('not-a-study', `“${basename(path)}” does not end in ${STUDY_EXTENSION}.`, {
      hint: `A study’s file is named NAME${STUDY_EXTENSION}.`,
    });
  }
  const folder = await realpath(dirname(absolute)).catch(() => {
    throw new DermcapError('no-such-folder', `The folder of “${basename(path)}” does not exist.`);
  });
  const file = join(folder, basename(absolute));
  const found = await stat(file).catch(() => null);
  if (create && found) {
    throw new DermcapError('study-exists', `“${basename(file)}” exists already.`, {
      hint: 'Open it, or choose another name.',
    });
  }
  if (!create && !found) {
    throw new DermcapError('no-such-study', `There is no study “${basename(path)}”.`, {
      hint: 'It may have been moved or renamed. “dermcap study create” makes a new one.',
    });
  }
  if (found && !found.isFile()) {
    throw new DermcapError('not-a-study', `“${basename(file)}” is not a file.`);
  }
  // A link's study is where the link leads: its images and its lock are there.
  return found ? realpath(file) : file;
}

/** Takes the name, so that of two processes only one makes the study. */
async function makeEmpty(file: string): Promise<void> {
  try {
    await (await openFile(file, 'wx', 0o600)).close();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') {
      throw new DermcapError('study-exists', `“${basename(file)}” exists already.`);
    }
    if (code === 'ENOSPC') throw new DermcapError('disk-full', 'The disk is full: no study can be made.');
    throw new DermcapError('study-read-only', `“${basename(file)}” cannot be made in this folder.`, {
      hint: 'Check the folder’s permissions.',
      cause: error,
    });
  }
}

async function requireStudy(file: string): Promise<void> {
  const handle = await openFile(file, 'r').catch((error: unknown) => {
    throw new DermcapError('study-unreachable', `“${basename(file)}” cannot be read.`, {
      hint: 'Check its permissions.',
      cause: error,
    });
  });
  try {
    const header = Buffer.alloc(100);
    const { bytesRead } = await handle.read(header, 0, 100, 0);
    // The application id lies at byte 68 (https://sqlite.org/fileformat2.html, section 1.3).
    const ours =
      header.subarray(0, 16).toString('latin1') === MAGIC && header.readUInt32BE(68) === APPLICATION_ID;
    if (bytesRead === 100 && ours) return;
    throw new DermcapError('not-a-study', `“${basename(file)}” is not a DermCap study.`, {
      hint: bytesRead === 0 ? 'It is empty.' : 'It was made by another program, or its beginning is damaged.',
    });
  } finally {
    await handle.close();
  }
}

function configure(database: DatabaseSync, network: boolean): void {
  // Before anything is read: an exclusive connection does without the log's shared memory.
  database.exec(`PRAGMA locking_mode = ${network ? 'EXCLUSIVE' : 'NORMAL'}`);
  database.exec(`PRAGMA journal_mode = ${network ? 'DELETE' : 'WAL'}`);
  // EXTRA also syncs the folder after the journal is deleted; with a write-ahead log it is the same as FULL.
  database.exec(`PRAGMA synchronous = ${network ? 'EXTRA' : 'FULL'}`);
  database.exec(
    `PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON; PRAGMA cache_size = -${CACHE_KIB}`,
  );
  database.exec('PRAGMA temp_store = MEMORY');
}

/** @returns the backup that was made, or null when nothing was to be changed */
async function upgrade(database: DatabaseSync, file: string): Promise<string | null> {
  const version = schemaVersion(database);
  if (version > SCHEMA_VERSION) {
    throw new DermcapError(
      'study-newer',
      `“${basename(file)}” was written by a newer DermCap (version ${version} of the file, this one knows ${SCHEMA_VERSION}).`,
      { hint: 'Update DermCap to open it. The file was not changed.' },
    );
  }
  if (version === SCHEMA_VERSION) return null;
  let saved: string | null = null;
  if (version > 0) {
    saved = await freeName(file.slice(0, -STUDY_EXTENSION.length) + `.before-v${SCHEMA_VERSION}`);
    await copyTo(database, saved);
  }
  migrate(database);
  return saved;
}

async function freeName(stem: string): Promise<string> {
  for (let n = 1; ; n++) {
    const name = `${stem}${n === 1 ? '' : `-${n}`}${STUDY_EXTENSION}`;
    if (!(await stat(name).catch(() => null))) return name;
  }
}

function problems(database: DatabaseSync, pragma: 'integrity_check' | 'quick_check'): string[] {
  try {
    const rows = database.prepare(`PRAGMA ${pragma}`).all() as Record<string, string>[];
    const found = rows.map(row => Object.values(row)[0]!).filter(text => text !== 'ok');
    const orphans = database.prepare('PRAGMA foreign_key_check').all() as { table: string; rowid: number }[];
    return [...found, ...orphans.map(({ table, rowid }) => `row ${rowid} of ${table} refers to nothing`)];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

function requireSound(database: DatabaseSync, file: string): void {
  const [first] = problems(database, 'quick_check');
  if (first === undefined) return;
  throw new DermcapError('study-damaged', `“${basename(file)}” is damaged: ${first}.`, {
    hint: 'Keep it as it is, open a backup, and see what “dermcap study check” says.',
  });
}

class SqliteStudy implements StudyFile {
  readonly db: StudyDatabase;
  readonly folder: string;
  #closed = false;

  constructor(
    readonly path: string,
    private readonly database: DatabaseSync,
    private readonly lock: StudyLock,
    readonly storage: StudyStorage,
    readonly backup: string | null,
  ) {
    this.folder = dirname(path);
    this.db = new Kysely<StudyTables>({ dialect: new NodeSqliteDialect(database) });
  }

  backupTo(target: string): Promise<void> {
    return copyTo(this.database, target);
  }

  check(): string[] {
    return problems(this.database, 'integrity_check');
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.db.destroy();
    this.database.close();
    this.lock.release();
  }
}
