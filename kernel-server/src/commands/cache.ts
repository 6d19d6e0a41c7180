/** `dermcap cache`: what was computed from checkpoints and pictures and is kept to be quick. */
import { resolve } from 'node:path';
import Table from 'cli-table3';
import type { CacheEntry } from '@dermcap/models/cache';
import type { Command } from 'commander';
import { gather } from './numbers.js';

interface CacheFlags {
  cache?: string;
  json: boolean;
}

/** What a folder of the cache holds. */
const MEANINGS: Record<string, string> = {
  weights: 'weights computed from checkpoints: merged LoRA, widened fp16',
  int8: 'int8 twins of weight matrices',
  'int8-index': 'which matrix has which twin',
  sha256: 'hashes of checkpoint files',
  sharing: 'which weights two checkpoints share',
  pictures: 'thumbnails and previews',
};

export function defineCache(program: Command): void {
  const cache = program
    .command('cache')
    .description('show what is kept to be quick; all of it can be made again');
  withFlags(cache).action(async (flags: CacheFlags) => print(await summary(flags), flags.json, readable));

  withFlags(cache.command('clear'))
    .description('remove what is kept, but nothing that a running DermCap uses')
    .option('--kind <kind>', 'only this kind, as “dermcap cache” names them; may be repeated', gather, [])
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<CacheFlags & { kind: string[] }>();
      const kinds = flags.kind.length > 0 ? flags.kind : undefined;
      print(await clear(flags, kinds), flags.json, cleared);
    });

  withFlags(cache.command('path'))
    .description('print the folder')
    .action(async (_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<CacheFlags>();
      print({ path: await folder(flags) }, flags.json, ({ path }) => path);
    });
}

function withFlags(command: Command): Command {
  return command
    .option('--cache <dir>', 'the folder (default: DERMCAP_CACHE, else ~/.cache/dermcap)')
    .option('--json', 'as JSON', false);
}

function print<T>(value: T, json: boolean, text: (value: T) => string): void {
  process.stdout.write(`${json ? JSON.stringify(value, null, 2) : text(value)}\n`);
}

async function folder({ cache }: CacheFlags): Promise<string> {
  const { defaultCacheDir } = await import('@dermcap/models/cache');
  return resolve(cache ?? defaultCacheDir());
}

interface Kind {
  kind: string;
  entries: number;
  sizeBytes: number;
  /** Last use of the entry longest unused, and of the one used last; ISO 8601. */
  oldestUse: string;
  newestUse: string;
}

interface Summary {
  path: string;
  sizeBytes: number;
  /** Pictures have a limit of their own. */
  limitBytes: number;
  kinds: Kind[];
}

async function summary(flags: CacheFlags): Promise<Summary> {
  const { cacheLimit, listCache } = await import('@dermcap/models/cache');
  const path = await folder(flags);
  const all = await listCache(path);
  const kinds = [...new Set(all.map(({ kind }) => kind))].map((kind): Kind => {
    const entries = all.filter(entry => entry.kind === kind);
    const uses = entries.map(({ usedMs }) => usedMs).sort((a, b) => a - b);
    return {
      kind,
      entries: entries.length,
      sizeBytes: totalBytes(entries),
      oldestUse: new Date(uses[0]!).toISOString(),
      newestUse: new Date(uses.at(-1)!).toISOString(),
    };
  });
  return { path, sizeBytes: totalBytes(all), limitBytes: cacheLimit(), kinds };
}

function readable({ path, sizeBytes, limitBytes, kinds }: Summary): string {
  if (kinds.length === 0) return `${path} is empty.`;
  const table = new Table({
    head: ['Kind', 'Entries', 'Size', 'Last used', 'Longest unused', ''],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [] },
  });
  for (const { kind, entries, sizeBytes: bytes, newestUse, oldestUse } of kinds)
    table.push([kind, entries, size(bytes), age(newestUse), age(oldestUse), MEANINGS[kind] ?? '']);
  return `${path}\n${table.toString()}\n${size(sizeBytes)} in all; the limit is ${size(limitBytes)} (DERMCAP_CACHE_LIMIT).`;
}

interface Cleared {
  path: string;
  removed: { entries: number; sizeBytes: number };
  inUse: { entries: number; sizeBytes: number };
}

/** @throws DermcapError `no-such-kind` */
async function clear(flags: CacheFlags, kinds: string[] | undefined): Promise<Cleared> {
  const { clearCache, listCache } = await import('@dermcap/models/cache');
  const path = await folder(flags);
  const known = new Set([...Object.keys(MEANINGS), ...(await listCache(path)).map(({ kind }) => kind)]);
  const unknown = kinds?.find(kind => !known.has(kind));
  if (unknown !== undefined) {
    const { DermcapError } = await import('@dermcap/models/errors');
    throw new DermcapError('no-such-kind', `The cache has no kind “${unknown}”.`, {
      hint: `There are ${[...known].join(', ')}.`,
    });
  }
  const { removed, inUse } = await clearCache(path, { kinds });
  const total = (entries: CacheEntry[]) => ({ entries: entries.length, sizeBytes: totalBytes(entries) });
  return { path, removed: total(removed), inUse: total(inUse) };
}

function cleared({ removed, inUse }: Cleared): string {
  const left =
    inUse.entries === 0 ? '' : ` ${count(inUse.entries)} in use (${size(inUse.sizeBytes)}) were left.`;
  return `Removed ${count(removed.entries)} (${size(removed.sizeBytes)}).${left}`;
}

function totalBytes(entries: readonly CacheEntry[]): number {
  return entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function count(entries: number): string {
  return entries === 1 ? '1 entry' : `${entries} entries`;
}

function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}

function age(use: string): string {
  const minutes = (Date.now() - Date.parse(use)) / 60_000;
  if (minutes < 1) return 'now';
  if (minutes < 60) return `${Math.floor(minutes)} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h`;
  return `${Math.floor(minutes / 1440)} days`;
}
