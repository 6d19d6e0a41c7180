/** Which column is what: by the header of a known dataset, else by names and by what the cells hold. */
import { parseLiteral } from './literal.js';
import { findPreset, presetMapping } from './presets.js';
import type { Column, ColumnMapping, MappingGuess, Scalar, TableRecord } from './source.js';
import { isEmpty, typed } from './tables/table.js';

const IMAGE_NAME = /\.(?:jpe?g|jpe|jfif|png|webp|gif|tiff?|avif|bmp|dcm|hei[cf])(?:$|\?)/i;
const URL = /^https?:\/\//i;

// Names in the order of how sure they are; `_` stands for any separator.
const IMAGE_COLUMNS =
  /^(?:image|images?_?path|img_?path|image_?file(?:_?(?:name|path))?|file_?name|file_?path|img|imgs?|image_?name|img_?name|image_?id|img_?id|isic_id|photo(?:_?(?:id|path|name|file))?|picture|file|path|filename|filepath|jpe?g|png|webp|relative_?path|media|image_?url|url|name|id|md5hash)$/;
const CAPTION_COLUMNS =
  /^(?:captions?|text|txt|description|desc|report|findings?|impression|sentences?|raw|references?|annotation|conversations?|messages|alt_?text|captions?_.*|.*_captions?|.*_description|truncated_caption)$/;
const LABEL_COLUMNS =
  /^(?:labels?|class(?:_?(?:name|label))?|cls|dx|diagnos(?:is|tic|es)|disease|condition|category|target|pathology|label_?name|disease_?label|ground_?truth)$/;
const SPLIT_COLUMNS = /^(?:split|subset|partition|set|fold|phase|data_?split|__split__)$/;
const SOURCE_COLUMNS = /^(?:source|dataset|data_?source|dataset_?name|origin|collection|site_?id)$/;
const GROUP_COLUMNS =
  /^(?:lesion_?id|lesion|patient_?id|patient|subject_?id|subject|case_?id|case|participant_?id|person_?id|group(?:_?id)?)$/;
const ID_COLUMNS =
  /^(?:id|image_?id|img_?id|isic_id|uuid|guid|key|__key__|uid|sample_?id|index|img_?name|image_?name)$/;
const NUMBERED_IMAGE = /^(?:image|img|photo|picture)_?\d+(?:_?(?:path|file|name|id))?$/;

const plain = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/[\s.-]+/g, '_');

interface ColumnView extends Column {
  plain: string;
  filled: Scalar[];
}

/** What the first values of each column are. */
export function describeColumns(
  columns: readonly string[],
  sample: readonly TableRecord[],
  imageColumns: readonly string[] = [],
): Column[] {
  return columns.map(name => {
    const values = sample.map(record => typed(record[name])).filter(value => value !== null);
    const all = (test: (value: Scalar) => boolean): boolean => values.length > 0 && values.every(test);
    let type: Column['type'] = 'text';
    if (imageColumns.includes(name) || all(value => typeof value === 'string' && IMAGE_NAME.test(value)))
      type = 'image';
    else if (values.length === 0) type = 'empty';
    else if (all(value => typeof value === 'number')) type = 'number';
    else if (all(value => typeof value === 'boolean')) type = 'boolean';
    return { name, type };
  });
}

/**
 * Guesses the mapping of a table.
 * @param columns in the file's order
 * @param sample its first records
 * @param context.imageColumns columns that hold images
 * @param context.isImage whether a value names an image that is there, for names without an ending
 */
export function guessMapping(
  columns: readonly string[],
  sample: readonly TableRecord[],
  context: { imageColumns?: readonly string[]; isImage?: (value: string) => boolean } = {},
): MappingGuess {
  const preset = findPreset(columns);
  if (preset) {
    return {
      mapping: presetMapping(preset, columns),
      preset: preset.id,
      confidence: 1,
      why: [`Its columns are those of ${preset.name}.`, ...(preset.note ? [preset.note] : [])],
    };
  }
  const { imageColumns = [], isImage = () => false } = context;
  const views = describeColumns(columns, sample, imageColumns).map((column): ColumnView => ({
    ...column,
    plain: plain(column.name),
    filled: sample.map(record => record[column.name] ?? null).filter(value => !isEmpty(value)),
  }));
  const why: string[] = [];
  const { image, confidence } = chooseImage(views, imageColumns, isImage, why);
  const rest = views.filter(view => !image.includes(view.name));
  const captions = chooseCaptions(rest, why);
  const others = rest.filter(view => !captions.includes(view.name));
  const label = chooseLabel(others, why);
  const pick = (what: string, pattern: RegExp, among = others): string | null => {
    const found = among.find(view => pattern.test(view.plain) && !label.includes(view.name));
    if (found) why.push(`“${found.name}” is taken for the ${what}, by its name.`);
    return found?.name ?? null;
  };
  const split = pick('split', SPLIT_COLUMNS);
  const source = pick('source', SOURCE_COLUMNS);
  const group = pick('lesion, case or patient', GROUP_COLUMNS);
  const id =
    pick('identifier', ID_COLUMNS) ??
    views.find(view => image.includes(view.name) && ID_COLUMNS.test(view.plain))?.name ??
    null;
  const mapping: ColumnMapping = { image, captions, label, split, source, group, id };
  return { mapping, preset: null, confidence, why };
}

function chooseImage(
  views: readonly ColumnView[],
  imageColumns: readonly string[],
  isImage: (value: string) => boolean,
  why: string[],
): { image: string[]; confidence: number } {
  if (imageColumns.length > 0) {
    why.push(`${quoted(imageColumns)} ${imageColumns.length === 1 ? 'holds' : 'hold'} images.`);
    return { image: [...imageColumns], confidence: 0.95 };
  }
  const scored = views
    .filter(view => view.filled.length > 0)
    .map(view => {
      const texts = view.filled.map(String);
      const share = (test: (text: string) => boolean): number => texts.filter(test).length / texts.length;
      const named = share(text => IMAGE_NAME.test(text) && !/\s.*\s.*\s/.test(text));
      const there = share(isImage);
      const web = share(text => URL.test(text));
      const byName = IMAGE_COLUMNS.test(view.plain) || NUMBERED_IMAGE.test(view.plain);
      // A name counts for little against what the cells hold; a web address may have been downloaded.
      const score = Math.max(named, there) * (web > 0.5 ? 0.6 : 1) + (byName ? 0.3 : 0) + 0.2 * there;
      return { view, named, there, byName, score };
    })
    .sort((a, b) => b.score - a.score);
  const best = scored[0];
  if (!best || (best.score < 0.5 && !best.byName)) {
    why.push('No column looks like the name of an image.');
    return { image: [], confidence: 0 };
  }
  if (best.score < 0.5) {
    why.push(
      `“${best.view.name}” is taken for the image by its name alone; no image of that name was found.`,
    );
    return { image: [best.view.name], confidence: 0.3 };
  }
  const numbered = scored.filter(
    ({ view, score }) => NUMBERED_IMAGE.test(view.plain) && score >= best.score - 0.05,
  );
  const chosen =
    NUMBERED_IMAGE.test(best.view.plain) && numbered.length > 1
      ? numbered.map(({ view }) => view)
      : [best.view];
  const image = views.filter(view => chosen.includes(view)).map(view => view.name);
  const holds = `${quoted(image)} ${image.length === 1 ? 'holds' : 'hold'}`;
  if (best.there === 0) {
    why.push(`${holds} names of image files, but none of the first was found.`);
    return { image, confidence: 0.45 };
  }
  why.push(`${holds} names of images that are there.`);
  return { image, confidence: Math.min(0.95, 0.6 + 0.3 * best.there + (best.byName ? 0.05 : 0)) };
}

function chooseCaptions(views: readonly ColumnView[], why: string[]): string[] {
  const byName = views.filter(
    view => CAPTION_COLUMNS.test(view.plain) && (view.type === 'text' || view.type === 'empty'),
  );
  if (byName.length > 0) {
    why.push(`${quoted(byName.map(view => view.name))}: caption, by name.`);
    return byName.map(view => view.name);
  }
  const prose = views.filter(view => {
    const texts = view.filled.map(String);
    const words = texts.reduce((sum, text) => sum + text.trim().split(/\s+/).length, 0) / (texts.length || 1);
    return texts.length > 0 && words >= 6 && !texts.every(text => parseLiteral(text) !== undefined);
  });
  if (prose.length === 0) return [];
  why.push(`${quoted(prose.map(view => view.name))}: caption, as the cells are sentences.`);
  return prose.map(view => view.name);
}

function chooseLabel(views: readonly ColumnView[], why: string[]): string[] {
  const byName = views.find(view => LABEL_COLUMNS.test(view.plain) && view.type !== 'empty');
  if (byName) {
    why.push(`“${byName.name}” is taken for the label, by its name.`);
    return [byName.name];
  }
  const binary = views.filter(
    view => view.type === 'number' && view.filled.every(value => Number(value) === 0 || Number(value) === 1),
  );
  const rows = Math.max(0, ...binary.map(view => view.filled.length));
  const oneHot =
    binary.length >= 3 &&
    Array.from({ length: rows }, (_, row) =>
      binary.reduce((sum, view) => sum + Number(view.filled[row] ?? 0), 0),
    ).every(sum => sum === 1);
  if (!oneHot) return [];
  why.push(
    `${quoted(binary.map(view => view.name))}: one of them is 1 in each row, so its name is the label.`,
  );
  return binary.map(view => view.name);
}

function quoted(names: readonly string[]): string {
  const shown = names.slice(0, 4).map(name => `“${name}”`);
  return names.length > 4 ? `${shown.join(', ')} and ${names.length - 4} more` : shown.join(', ');
}
