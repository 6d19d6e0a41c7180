/** Recognises what a file or folder is as a dataset. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { DermcapError } from '@dermcap/models/errors';
import { Dataset, type Join } from './dataset.js';
import { ImageIndex } from './image-index.js';
import { ImageFolders, isImageName } from './listing.js';
import { naturalSort } from './natural-order.js';
import { findPreset, type Preset } from './presets.js';
import { splitOfName } from './splits.js';
import { cocoTable, isCoco } from './tables/coco.js';
import { openCsv } from './tables/csv.js';
import { FOLDER_MAPPING, folderTable } from './tables/folder.js';
import { jsonTable, openJsonLines, readJson } from './tables/jsonl.js';
import { openParquet } from './tables/parquet.js';
import { unsupported, type Table } from './tables/table.js';
import { openWebDataset } from './tables/webdataset.js';
import { openXlsx } from './tables/xlsx.js';

export interface OpenOptions {
  /** Folder that image paths are relative to; default: the manifest's, or the one above for `annotations/…`. */
  root?: string;
  signal?: AbortSignal;
}

const TABLE_NAME = /\.(?:csv|tsv|jsonl|ndjson)(?:\.gz)?$|\.(?:parquet|xlsx|json|tar)$/i;
/** Folders that hold manifests beside the folders of their images. */
const MANIFEST_FOLDER = /^(?:annotations?|metadata|manifests?|labels|splits?|csvs?)$/i;
/** How deep manifests may lie below a dataset's folder. */
const MANIFEST_DEPTH = 3;
const MAX_MANIFESTS = 2000;

/**
 * Opens a dataset.
 * @param path a manifest, a shard or a folder
 * @throws DermcapError `no-such-file`, `dataset-unsupported`, `dataset-damaged` or `dataset-empty`
 */
export async function openDataset(path: string, options: OpenOptions = {}): Promise<Dataset> {
  const real = await realOrRefuse(path);
  const isFolder = (await stat(real)).isDirectory();
  const folder = isFolder ? real : dirname(real);
  const usual = !isFolder && MANIFEST_FOLDER.test(basename(folder)) ? dirname(folder) : folder;
  const root = options.root === undefined ? usual : await realOrRefuse(options.root);
  if (real !== root && !real.startsWith(root.endsWith(sep) ? root : root + sep)) {
    throw new DermcapError(
      'path-outside-root',
      `“${basename(path)}” does not lie in the dataset’s folder “${root}”.`,
      {
        hint: 'Name a folder that holds both the manifest and its images.',
      },
    );
  }
  return isFolder ? openFolder(root, real, options.signal) : openFile(root, real, options.signal);
}

async function realOrRefuse(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    throw new DermcapError('no-such-file', `There is no “${path}”.`, {
      hint: 'Check the path.',
      cause: error,
    });
  }
}

const isKnownHeader = (header: readonly string[]): boolean => findPreset(header) !== null;

/** @throws DermcapError when its name or content is of no known kind */
async function openTable(root: string, real: string, signal?: AbortSignal): Promise<Table> {
  const file = relative(root, real).split(sep).join('/');
  const name = basename(real).toLowerCase();
  if (/\.(?:csv|tsv|txt)(?:\.gz)?$/.test(name)) return openCsv(real, file, signal);
  if (/\.(?:jsonl|ndjson)(?:\.gz)?$/.test(name)) return openJsonLines(real, file, signal);
  if (/\.parquet$/.test(name)) return openParquet(real, file);
  if (/\.xlsx$/.test(name)) return openXlsx(real, file, isKnownHeader);
  if (/\.tar$/.test(name)) return openWebDataset(real, file);
  if (/\.json(?:\.gz)?$/.test(name)) return openJson(real, file);
  if (/\.tar\.\w+$|\.tgz$/.test(name)) {
    throw unsupported(file, 'is a compressed archive', 'Unpack it, or decompress it to a .tar file.');
  }
  if (/\.(?:xls|xlsb|ods)$/.test(name))
    throw unsupported(file, 'is a workbook of another kind', 'Save it as .xlsx or CSV.');
  throw unsupported(
    file,
    'is no manifest that is known here',
    'Known are folders, CSV, TSV, JSON Lines, COCO JSON, Parquet, XLSX and WebDataset .tar files.',
  );
}

async function openJson(real: string, file: string): Promise<Table> {
  const document = await readJson(real, file);
  if (isCoco(document)) return cocoTable(document, file);
  if (Array.isArray(document)) return jsonTable(document, file);
  // Some put the list under a name of its own, or have a record or a caption for each image’s name.
  const fields = Object.entries((document ?? {}) as Record<string, unknown>);
  const lists = fields.filter(([, value]) => Array.isArray(value));
  if (lists.length === 1) return jsonTable(lists[0]![1] as unknown[], file);
  if (fields.length > 0 && fields.every(([name, value]) => isImageName(name) && value !== null)) {
    return jsonTable(
      fields.map(([image, value]) =>
        typeof value === 'object' && !Array.isArray(value) ? { image, ...value } : { image, caption: value },
      ),
      file,
    );
  }
  throw unsupported(
    file,
    'is JSON, but neither COCO captions nor a list of records',
    'JSON Lines has one record a line.',
  );
}

async function openFile(root: string, real: string, signal?: AbortSignal): Promise<Dataset> {
  if (isImageName(real)) {
    throw unsupported(real, 'is an image, not a dataset', 'Name its folder instead.');
  }
  const table = await openTable(root, real, signal);
  return assemble(root, [table], await companionsOf(root, real, findPreset(table.columns)), readOnce(root));
}

async function openFolder(root: string, folder: string, signal?: AbortSignal): Promise<Dataset> {
  const files = await manifestsOf(folder);
  const tables: Table[] = [];
  const refused: unknown[] = [];
  for (const file of files) {
    try {
      tables.push(await openTable(root, file, signal));
    } catch (error) {
      // Beside others a file that is no manifest is passed over; alone it is what is wrong.
      if (!(error instanceof DermcapError)) throw error;
      refused.push(error);
    }
  }
  const index = readOnce(root);
  const chosen = await choose(root, tables, index);
  if (chosen.length > 0)
    return assemble(
      root,
      chosen,
      tables.filter(table => !chosen.includes(table)),
      index,
    );
  const names = await new ImageFolders(root, { forDatasets: true }).all();
  const prefix = relative(root, folder).split(sep).join('/');
  const below = prefix === '' ? names : names.filter(name => name.startsWith(`${prefix}/`));
  if (below.length > 0) {
    return new Dataset({
      kind: 'folder',
      root,
      tables: [folderTable(root, below)],
      index,
      others: tables.map(table => table.file),
      fixed: {
        mapping: FOLDER_MAPPING,
        preset: isDermNet(below) ? 'dermnet' : null,
        confidence: isDermNet(below) ? 1 : 0.8,
        why: [
          ...(isDermNet(below) ? ['Its class folders are those of DermNet.'] : []),
          'A folder of images: folders are labels or splits, a text file beside an image is its caption.',
        ],
      },
    });
  }
  if (refused.length > 0) throw refused[0];
  throw new DermcapError('dataset-empty', `“${basename(folder)}” holds neither images nor a manifest.`, {
    hint: 'Name a folder with images, or a manifest.',
  });
}

/** The Kaggle release of DermNet: no manifest, but classes that no other dataset is cut into. */
function isDermNet(names: readonly string[]): boolean {
  const folders = new Set(names.map(name => name.split('/').at(-2) ?? ''));
  return (
    ['Acne and Rosacea Photos', 'Eczema Photos', 'Nail Fungus and other Nail Disease'].filter(name =>
      folders.has(name),
    ).length >= 2
  );
}

async function manifestsOf(folder: string, depth = 0): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const shown = entries.filter(entry => !entry.name.startsWith('.'));
  const files = shown.filter(entry => entry.isFile() && TABLE_NAME.test(entry.name)).map(entry => entry.name);
  const found = (await naturalSort(files)).map(name => join(folder, name));
  if (depth < MANIFEST_DEPTH) {
    for (const name of await naturalSort(
      shown.filter(entry => entry.isDirectory()).map(entry => entry.name),
    )) {
      try {
        found.push(...(await manifestsOf(join(folder, name), depth + 1)));
      } catch (error) {
        if (!['EACCES', 'EPERM', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
      if (found.length > MAX_MANIFESTS) break;
    }
  }
  return found.slice(0, MAX_MANIFESTS);
}

/** Tables beside a manifest that a preset may join to it. */
async function companionsOf(root: string, real: string, preset: Preset | null): Promise<Table[]> {
  if (!preset?.companions && preset?.splitIndexes === undefined) return [];
  const tables: Table[] = [];
  for (const file of await manifestsOf(dirname(real))) {
    if (file === real || !/\.(?:csv|tsv|xlsx)$/i.test(file)) continue;
    try {
      tables.push(await openTable(root, file));
    } catch (error) {
      if (!(error instanceof DermcapError)) throw error;
    }
  }
  return tables;
}

/** The images below a root, read when they are first asked for. */
function readOnce(root: string): () => Promise<ImageIndex> {
  let index: Promise<ImageIndex> | null = null;
  return () => (index ??= ImageIndex.read(root));
}

/** The tables that are the dataset's manifest: all with the header of the best. */
async function choose(
  root: string,
  tables: readonly Table[],
  index: () => Promise<ImageIndex>,
): Promise<Table[]> {
  // Beside images a doubtful table is passed over; without any it is all there is.
  const least = tables.length > 0 && (await index()).size === 0 ? 0.1 : 0.4;
  let best: { table: Table; score: number } | null = null;
  for (const table of tables) {
    const score = await rank(root, table, index);
    if (score > (best?.score ?? least)) best = { table, score };
  }
  if (best === null) return [];
  const { kind, columns } = best.table;
  const header = [...columns].sort().join('\0');
  return tables.filter(
    table => table === best.table || (table.kind === kind && [...table.columns].sort().join('\0') === header),
  );
}

async function rank(root: string, table: Table, index: () => Promise<ImageIndex>): Promise<number> {
  if (table.kind === 'webdataset') return table.imageColumns.length > 0 ? 0.96 : 0;
  if (table.kind === 'parquet-shards') return 0.95;
  if (table.kind === 'coco-captions') return 0.94;
  const alone = new Dataset({ kind: table.kind, root, tables: [table], index });
  const { confidence, preset, mapping } = await alone.guess();
  const named = isHuggingFaceMetadata(table.file) ? 0.5 : 0;
  // Of two known manifests of one dataset the text file comes first: workbooks are copies of it.
  const order = table.kind === 'csv' ? 0.02 : table.kind === 'xlsx' ? 0 : 0.01;
  return confidence + named + order + (preset === null ? 0 : 1) + (mapping.captions.length > 0 ? 0.03 : 0);
}

/** `metadata.csv`, `.jsonl` or `.parquet` with a column `file_name`, as Hugging Face's ImageFolder has it. */
function isHuggingFaceMetadata(file: string): boolean {
  return /^metadata\.(?:csv|jsonl|parquet)$/i.test(basename(file));
}

function assemble(
  root: string,
  tables: Table[],
  others: readonly Table[],
  index: () => Promise<ImageIndex>,
): Dataset {
  const preset = findPreset(tables[0]!.columns);
  const joins = preset === null ? [] : joinsOf(preset, tables[0]!, others);
  const joined = joins.map(join => join.table);
  const imageFolder = tables.every(
    table => isHuggingFaceMetadata(table.file) && table.columns.includes('file_name'),
  );
  return new Dataset({
    kind: imageFolder ? 'image-folder' : tables[0]!.kind,
    root,
    tables,
    joins,
    index,
    others: others.filter(table => !joined.includes(table)).map(table => table.file),
  });
}

function joinsOf(preset: Preset, main: Table, others: readonly Table[]): Join[] {
  const joins: Join[] = [];
  for (const { keys, columns } of preset.companions ?? []) {
    for (const table of others) {
      const has = (name: string): string | undefined =>
        table.columns.find(column => column.toLowerCase() === name.toLowerCase());
      if (!columns.every(has)) continue;
      const key = keys.find(name => has(name) !== undefined && main.columns.includes(name));
      if (key !== undefined) joins.push({ table, key: has(key)! });
    }
  }
  if (preset.splitIndexes !== undefined) {
    for (const table of others) {
      const split = splitOfName(basename(table.file));
      if (split === null || !table.columns.includes(preset.splitIndexes)) continue;
      joins.push({ table, key: null, rowColumn: preset.splitIndexes, split });
    }
  }
  return joins;
}
