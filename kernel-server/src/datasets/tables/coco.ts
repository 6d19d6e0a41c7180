/** COCO caption annotations (cocodataset.org, format-data, section 5): images, and captions that name them by id. */
import { toScalar, damaged, emptyRecord, type Entry, type Table } from './table.js';

/** What COCO says of every image and no study filters by. */
const UNTOLD = new Set(['coco_url', 'flickr_url', 'date_captured']);

interface Coco {
  images: unknown[];
  annotations: unknown[];
}

export function isCoco(document: unknown): document is Coco {
  const { images, annotations } = (document ?? {}) as Partial<Coco>;
  return Array.isArray(images) && Array.isArray(annotations);
}

/** @throws DermcapError `dataset-damaged` when no image has a file name */
export function cocoTable(document: Coco, file: string): Table {
  const captions = new Map<string, string[]>();
  let strangers = 0;
  const known = new Set(document.images.map(image => id(image, 'id')));
  for (const annotation of document.annotations) {
    const image = id(annotation, 'image_id');
    const text = (annotation as { caption?: unknown } | null)?.caption;
    if (typeof text !== 'string') continue;
    if (image === null || !known.has(image)) strangers++;
    else {
      const list = captions.get(image);
      if (list) list.push(text);
      else captions.set(image, [text]);
    }
  }
  const named = document.images.filter(
    image => typeof (image as { file_name?: unknown })?.file_name === 'string',
  );
  if (named.length === 0) throw damaged(file, '', 'none of its images has a file name');
  const columns = new Set(['file_name', 'captions']);
  for (const image of named.slice(0, 100)) for (const name of Object.keys(image as object)) columns.add(name);
  return {
    kind: 'coco-captions',
    file,
    count: document.images.length,
    notes: strangers > 0 ? [`${strangers} captions belong to no image of the file.`] : [],
    imageColumns: [],
    columns: [...columns].filter(name => !UNTOLD.has(name)),
    async *entries(signal): AsyncGenerator<Entry> {
      for (const [index, image] of document.images.entries()) {
        signal?.throwIfAborted();
        const values = emptyRecord();
        if (typeof image !== 'object' || image === null) {
          yield { row: index + 1, values, fault: 'it is not a record' };
          continue;
        }
        for (const [name, value] of Object.entries(image))
          if (!UNTOLD.has(name)) values[name] = toScalar(value);
        const own = captions.get(id(image, 'id') ?? '');
        if (own) values['captions'] = JSON.stringify(own);
        yield { row: index + 1, values };
      }
    },
  };
}

/** Ids are numbers in COCO and text in some of its imitators. */
function id(record: unknown, field: string): string | null {
  const value = (record as Record<string, unknown> | null)?.[field];
  return typeof value === 'number' || typeof value === 'string' ? String(value) : null;
}
