/** A folder of images: class folders are labels, folders named after a split are splits, `NAME.txt` is a caption. */
import { readFile, readdir, stat } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import type { ColumnMapping } from '../source.js';
import { splitOfName } from '../splits.js';
import { emptyRecord, type Entry, type Table } from './table.js';

/** Folders that hold images of every kind: no labels. */
const PLAIN_FOLDER =
  /^(?:images?|imgs?|pictures?|pics|photos?|jpe?gs?|pngs?|data|dataset|all|files|raw|input|.*_images(?:_part_\d+)?|imgs_part_\d+)$/i;
/** A longer text file is no caption (CWE-770). */
const MAX_CAPTION_BYTES = 65_536;

export const FOLDER_MAPPING: ColumnMapping = {
  image: ['path'],
  captions: ['caption'],
  label: ['class'],
  split: 'split',
  source: null,
  group: null,
  id: null,
};

/**
 * @param root real path
 * @param names images below it, in order
 */
export function folderTable(root: string, names: readonly string[]): Table {
  return {
    kind: 'folder',
    file: '',
    count: names.length,
    notes: [],
    imageColumns: [],
    columns: ['path', 'class', 'split', 'caption'],
    async *entries(signal): AsyncGenerator<Entry> {
      let folder: string | null = null;
      let texts = new Set<string>();
      for (const [index, name] of names.entries()) {
        signal?.throwIfAborted();
        const parent = posix.dirname(name);
        if (parent !== folder) {
          folder = parent;
          texts = await textFiles(join(root, parent));
        }
        const values = emptyRecord();
        values['path'] = name;
        const parts = parent === '.' ? [] : parent.split('/');
        const split = parts.map(splitOfFolder).find(found => found !== null) ?? null;
        const named = parts.filter(part => splitOfFolder(part) === null && !PLAIN_FOLDER.test(part));
        values['class'] = named.at(-1) ?? null;
        values['split'] = split;
        const stem = posix.basename(name).replace(/\.[^.]+$/, '');
        values['caption'] = texts.has(stem) ? await caption(join(root, dirname(name), `${stem}.txt`)) : null;
        yield { row: index + 1, values };
      }
    },
  };
}

/** A whole folder name, not a part of it: `train` is a split, `test tubes` is a class. */
function splitOfFolder(name: string): string | null {
  return /^[a-z]+(?:[-_ ]?(?:set|data|images|\d+))?$/i.test(name) ? splitOfName(name) : null;
}

async function textFiles(folder: string): Promise<Set<string>> {
  try {
    const names = await readdir(folder);
    return new Set(names.filter(name => name.endsWith('.txt')).map(name => name.slice(0, -4)));
  } catch {
    return new Set();
  }
}

async function caption(file: string): Promise<string | null> {
  try {
    const found = await stat(file);
    if (!found.isFile() || found.size > MAX_CAPTION_BYTES) return null;
    const text = new TextDecoder().decode(await readFile(file)).trim();
    return text === '' ? null : text;
  } catch {
    return null;
  }
}
