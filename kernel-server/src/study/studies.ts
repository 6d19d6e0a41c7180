/** The studies that a server has open. A study is opened by its first request and stays open until the end. */
import { opendir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import type { Study, StudyList } from '../contract/index.js';
import { resolveInside, splitPath } from '../datasets/paths.js';
import { SCHEMA_VERSION } from './migrations.js';
import { openStudy, STUDY_EXTENSION, type StudyFile } from './open.js';
import { summary, writeSettings } from './settings.js';

/** Beyond this the caches of open files would cost more than opening one again. */
const MAX_OPEN = 16;
/** Studies of a folder that are listed; more is not a folder of studies. */
const MAX_LISTED = 1000;

export class Studies {
  readonly #root: string;
  readonly #url: string | null;
  readonly #open = new Map<string, Promise<StudyFile>>();
  readonly #closing: ((study: StudyFile) => Promise<void>)[] = [];
  #closed = false;

  /**
   * @param root the server's root with its own links resolved
   * @param url where the server's user sees it, told to others who try to open a study too
   */
  constructor(root: string, url: string | null) {
    this.#root = root;
    this.#url = url;
  }

  /** Has something done before a study's file is closed: what works with it must let go. */
  onClose(letGo: (study: StudyFile) => Promise<void>): void {
    this.#closing.push(letGo);
  }

  /** The studies of one folder, by name. */
  async list(folder: string): Promise<StudyList> {
    const real = await resolveInside(this.#root, folder);
    const prefix = splitPath(folder).join('/');
    const studies: StudyList['studies'] = [];
    const entries = await opendir(real).catch((error: unknown) => {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOTDIR') throw new DermcapError('not-a-folder', `“${folder}” is a file, not a folder.`);
      throw new DermcapError('unreadable-folder', `The folder “${folder}” cannot be read.`);
    });
    for await (const entry of entries) {
      const { name } = entry;
      if (!name.endsWith(STUDY_EXTENSION) || name.startsWith('.') || !entry.isFile()) continue;
      const path = prefix ? `${prefix}/${name}` : name;
      const size = (await stat(join(real, name)).catch(() => null))?.size ?? 0;
      studies.push({
        id: studyId(path),
        path,
        name: name.slice(0, -STUDY_EXTENSION.length),
        sizeBytes: size,
      });
      if (studies.length === MAX_LISTED) break;
    }
    return { studies: studies.sort((a, b) => (a.name < b.name ? -1 : 1)) };
  }

  /**
   * Makes a study in a folder that exists.
   * @throws DermcapError `study-exists`, `no-such-file`, or as `openStudy` does
   */
  async create(path: string, title: string | undefined): Promise<Study> {
    const name = normal(path);
    const folder = await resolveInside(this.#root, dirname(name) === '.' ? '' : dirname(name));
    if (this.#open.has(name)) {
      throw new DermcapError('study-exists', `“${basename(name)}” exists already.`, {
        hint: 'Open it, or choose another name.',
      });
    }
    this.#makeRoom();
    const opening = openStudy(join(folder, basename(name)), { create: true, url: this.#url });
    const study = await this.#keep(name, opening);
    if (title !== undefined) await writeSettings(study.db, { title });
    return this.describe(studyId(name));
  }

  /** @throws DermcapError `no-such-study`, or as `openStudy` does */
  async get(id: string): Promise<StudyFile> {
    if (this.#closed) throw new DermcapError('shutting-down', 'The server is shutting down.');
    const path = studyPath(id);
    const open = this.#open.get(path);
    if (open) return open;
    this.#makeRoom();
    return this.#keep(path, this.#openExisting(path));
  }

  async describe(id: string): Promise<Study> {
    const study = await this.get(id);
    const path = studyPath(id);
    const { network, journal } = study.storage;
    return {
      id: studyId(path),
      path,
      name: basename(path, STUDY_EXTENSION),
      ...(await summary(study)),
      schemaVersion: SCHEMA_VERSION,
      storage: {
        journal,
        banner:
          network === null
            ? null
            : `This study lies on a network file system (${network}): only one program at a time can use it, and saving takes longer.`,
      },
      backup: study.backup === null ? null : basename(study.backup),
    };
  }

  /** A path inside the root for a new file, as an absolute one. */
  async locateNew(path: string): Promise<string> {
    const name = normal(path);
    return join(await resolveInside(this.#root, dirname(name) === '.' ? '' : dirname(name)), basename(name));
  }

  /** Real path of one of a study's files: inside the server's root, wherever the study says it is. */
  async locate(study: StudyFile, path: string): Promise<string> {
    const folder = study.folder.slice(this.#root.length).split('/').filter(Boolean);
    const parts = [...folder];
    for (const part of path.split('/')) {
      if (part === '..') {
        if (parts.pop() === undefined) {
          throw new DermcapError('path-outside-root', `“${path}” does not lie in the folder that is served.`);
        }
      } else parts.push(part);
    }
    return resolveInside(this.#root, parts.join('/'));
  }

  /** Closes one study, so that another program may open it; a later request opens it again. */
  async close(id: string): Promise<void> {
    const path = studyPath(id);
    const open = this.#open.get(path);
    this.#open.delete(path);
    const study = await open?.catch(() => null);
    if (!study) return;
    for (const letGo of this.#closing) await letGo(study);
    await study.close();
  }

  async closeAll(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open.keys()].map(path => this.close(studyId(path))));
  }

  async #openExisting(path: string): Promise<StudyFile> {
    try {
      return await openStudy(await resolveInside(this.#root, path), { url: this.#url });
    } catch (error) {
      if ((error as DermcapError).code === 'no-such-file') {
        throw new DermcapError('no-such-study', `There is no study “${path.slice(0, 200)}”.`, {
          hint: 'It may have been moved or renamed.',
        });
      }
      throw error;
    }
  }

  async #keep(path: string, opening: Promise<StudyFile>): Promise<StudyFile> {
    this.#open.set(path, opening);
    try {
      return await opening;
    } catch (error) {
      if (this.#open.get(path) === opening) this.#open.delete(path);
      throw error;
    }
  }

  #makeRoom(): void {
    if (this.#open.size < MAX_OPEN) return;
    throw new DermcapError('too-many-studies', `${MAX_OPEN} studies are open already.`, {
      hint: 'Close one that is not needed.',
    });
  }
}

function normal(path: string): string {
  const name = splitPath(path).join('/');
  if (!name.endsWith(STUDY_EXTENSION)) {
    throw new DermcapError('not-a-study', `“${name.slice(0, 200)}” does not end in ${STUDY_EXTENSION}.`);
  }
  return name;
}

/** A study in an address. */
export function studyId(path: string): string {
  return Buffer.from(path).toString('base64url');
}

function studyPath(id: string): string {
  const path = Buffer.from(id, 'base64url').toString('utf8');
  try {
    if (studyId(path) === id && path.endsWith(STUDY_EXTENSION) && splitPath(path).join('/') === path)
      return path;
  } catch {
    // Said below: an address that we did not make.
  }
  throw new DermcapError('no-such-study', 'There is no study with this id.', {
    hint: 'GET /api/studies lists them.',
  });
}
