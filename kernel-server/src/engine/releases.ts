/**
 * The releases a server or a command can use: the demo that ships with DermCap, and those in the folders a
 * person named. A broken one is listed too, with the sentence that says what is wrong.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, delimiter, dirname, join, resolve } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import type { ReleaseDescription } from '@dermcap/models/release';
import type { Release } from '../contract/index.js';

/** `describeRelease` of the models package: what a folder holds, without reading weights. */
export type DescribeRelease = (
  dir: string,
) => Promise<Pick<ReleaseDescription, 'name' | 'stages' | 'clipDir'>>;

/** A release of the catalogue with the folders its files lie in. */
export interface CatalogueEntry {
  release: Release;
  dir: string;
  clipDir: string | null;
}

export const DEMO_RELEASE_ID = 'demo';
/** The demo's folder has no name of its own to go by. */
export const DEMO_RELEASE_NAME = 'DermCap demo';
/** A new or mended release shows up after at most this long. */
const KEEP_MS = 5000;
const CHECKPOINT_NAME = /^(best_stage[AB]|final_captioner_.*)\.pt$/;

/** Folder of the demo release inside the installed models package. */
export function demoReleaseDir(): string {
  const entry = createRequire(import.meta.url).resolve('@dermcap/models');
  return join(dirname(entry), '..', 'demo', 'release');
}

/** Release folders from the command line and from `DERMCAP_RELEASE_PATH`, in this order. */
export function releasePaths(named: readonly string[], env: NodeJS.ProcessEnv = process.env): string[] {
  const listed = (env['DERMCAP_RELEASE_PATH'] ?? '').split(delimiter).filter(path => path !== '');
  return [...named, ...listed].map(path => resolve(path));
}

/** The vision tower's folder from the command line, else from `DERMCAP_CLIP_PATH`. */
export function clipPath(named: string | undefined, env: NodeJS.ProcessEnv = process.env): string | null {
  const path = named ?? (env['DERMCAP_CLIP_PATH'] || null);
  return path === null ? null : resolve(path);
}

/** Finds releases and looks them up by id. */
export class ReleaseCatalogue {
  readonly #options: {
    /** Folders that are a release or hold some. */
    paths: readonly string[];
    /** Vision tower for releases that bring none. */
    clipDir: string | null;
    demoDir: string | null;
    describe: DescribeRelease;
  };
  #kept: { entries: Promise<CatalogueEntry[]>; untilMs: number } | null = null;

  constructor(options: {
    paths: readonly string[];
    clipDir: string | null;
    demoDir: string | null;
    describe: DescribeRelease;
  }) {
    this.#options = options;
  }

  /** All releases, the demo first. */
  async list(): Promise<CatalogueEntry[]> {
    if (!this.#kept || this.#kept.untilMs < Date.now()) {
      this.#kept = { entries: this.#find(), untilMs: Date.now() + KEEP_MS };
    }
    return this.#kept.entries;
  }

  /**
   * A usable release by its id.
   * @throws DermcapError `no-such-release`, or `broken-release` with its problem
   */
  async get(id: string): Promise<CatalogueEntry> {
    const entries = await this.list();
    const entry = entries.find(({ release }) => release.id === id);
    if (!entry) {
      const known = entries.map(({ release }) => release.id).join(', ');
      throw new DermcapError('no-such-release', `There is no release “${id}”.`, {
        hint: known ? `Known releases: ${known}.` : 'Name a folder with --release-path.',
      });
    }
    if (entry.release.problem !== null) throw new DermcapError('broken-release', entry.release.problem);
    return entry;
  }

  async #find(): Promise<CatalogueEntry[]> {
    const { demoDir, paths } = this.#options;
    const folders: { dir: string; demo: boolean }[] = [];
    if (demoDir !== null && (await isReleaseFolder(demoDir))) folders.push({ dir: demoDir, demo: true });
    for (const path of paths) {
      for (const dir of await releaseFolders(path)) folders.push({ dir, demo: false });
    }
    const seen = new Set<string>();
    const ids = new Set<string>();
    const entries: CatalogueEntry[] = [];
    for (const { dir, demo } of folders) {
      const real = await realpath(dir).catch(() => dir);
      if (seen.has(real)) continue;
      seen.add(real);
      const id = uniqueId(demo ? DEMO_RELEASE_ID : basename(real), ids);
      entries.push(await this.#describe(id, real, demo));
    }
    return entries;
  }

  async #describe(id: string, dir: string, demo: boolean): Promise<CatalogueEntry> {
    try {
      const { name: folderName, stages, clipDir } = await this.#options.describe(dir);
      const name = demo ? DEMO_RELEASE_NAME : folderName;
      const clip = clipDir ?? this.#options.clipDir;
      const problem =
        clip === null
          ? `The release “${name}” has no vision tower. Put its folder into the release as “clip”, or name it with --clip or DERMCAP_CLIP_PATH.`
          : null;
      return {
        release: { id, name, demo, stages, clip: clip === null ? null : basename(clip), problem },
        dir,
        clipDir: clip,
      };
    } catch (error) {
      if (!(error instanceof DermcapError)) throw error;
      const problem = error.hint ? `${error.message} ${error.hint}` : error.message;
      return {
        release: {
          id,
          name: demo ? DEMO_RELEASE_NAME : basename(dir),
          demo,
          stages: [],
          clip: null,
          problem,
        },
        dir,
        clipDir: null,
      };
    }
  }
}

function uniqueId(name: string, taken: Set<string>): string {
  const base = name.replace(/[^\p{L}\p{N}._-]+/gu, '-') || 'release';
  let id = base;
  for (let n = 2; taken.has(id); n++) id = `${base}-${n}`;
  taken.add(id);
  return id;
}

async function isReleaseFolder(dir: string): Promise<boolean> {
  try {
    return (await readdir(dir)).some(name => CHECKPOINT_NAME.test(name));
  } catch {
    return false;
  }
}

/** The path itself if it is a release, else the releases in it; the path when there are none, to be reported. */
async function releaseFolders(path: string): Promise<string[]> {
  if (await isReleaseFolder(path)) return [path];
  const names = await readdir(path).catch(() => []);
  const found: string[] = [];
  for (const name of names.filter(entry => !entry.startsWith('.')).sort()) {
    const dir = join(path, name);
    if ((await stat(dir).catch(() => null))?.isDirectory() && (await isReleaseFolder(dir))) found.push(dir);
  }
  return found.length > 0 ? found : [path];
}
