/** `dermcap dataset inspect`: what a dataset is, which column is what, and what is wrong with it. */
import type { Command } from 'commander';
import type { DatasetReport } from '../datasets/inspect.js';
import { EXIT_SOME_FAILED } from './failure.js';
import { wholeNumber } from './numbers.js';

interface InspectFlags {
  root?: string;
  content: boolean;
  distance?: number;
  stripDicom: boolean;
  json: boolean;
}

/** Values of a category that are shown; JSON has them all. */
const SHOWN_VALUES = 12;
const SHOWN_EXAMPLES = 5;

export function defineDataset(program: Command, finish: (code: number) => void): void {
  program
    .command('dataset')
    .description('look into datasets')
    .command('inspect')
    .description(
      'say what a dataset is: format, known dataset, columns, and which images are missing, unreadable or there twice;\n' +
        'ends with 1 when images cannot be used',
    )
    .argument(
      '<path>',
      'a folder, a manifest (CSV, TSV, JSON Lines, JSON, Parquet, XLSX) or a WebDataset .tar',
    )
    .option('--root <dir>', 'folder that image paths are relative to (default: the manifest’s)')
    .option('--no-content', 'do not open the images: quick, but finds no unreadable images and no duplicates')
    .option('--distance <bits>', 'how many of 64 bits near-duplicates may differ in', wholeNumber(0))
    .option('--strip-dicom', 'take the pixels of DICOM files that name a person', false)
    .option('--json', 'as JSON', false)
    .action(async (path: string, flags: InspectFlags) => {
      const { openDataset } = await import('../datasets/open.js');
      const { inspectDataset } = await import('../datasets/inspect.js');
      const dataset = await openDataset(path, flags.root === undefined ? {} : { root: flags.root });
      const progress = process.stderr.isTTY && !flags.json ? progressLine : () => undefined;
      const report = await inspectDataset(dataset, {
        content: flags.content,
        dicom: { strip: flags.stripDicom },
        ...(flags.distance === undefined ? {} : { maxDistance: flags.distance }),
        onProgress: progress,
      });
      if (process.stderr.isTTY && !flags.json) process.stderr.write('\r\x1b[K');
      process.stdout.write(
        flags.json ? `${JSON.stringify(report, null, 2)}\n` : readable(report, flags.content),
      );
      if (Object.keys(report.findings).some(state => !/duplicate$/.test(state))) finish(EXIT_SOME_FAILED);
    });
}

function progressLine(step: 'rows' | 'images', done: number): void {
  process.stderr.write(`\r\x1b[K${done} ${step === 'rows' ? 'rows read' : 'images looked at'}`);
}

const KINDS: Record<DatasetReport['kind'], string> = {
  folder: 'Folder of images',
  csv: 'CSV manifest',
  jsonl: 'JSON records',
  parquet: 'Parquet manifest',
  xlsx: 'Excel workbook',
  'coco-captions': 'COCO captions',
  'image-folder': 'Hugging Face ImageFolder',
  'parquet-shards': 'Parquet shards with images',
  webdataset: 'WebDataset shards',
};

function readable(report: DatasetReport, content: boolean): string {
  const { kind, preset, root, files, others, notes, why, mapping, columns, findings } = report;
  const lines = [`${KINDS[kind]}${preset === null ? '' : `, known as ${preset}`}  (${root})`];
  lines.push(...list('read', files), ...list('not read', others), ...notes.map(note => `  ${note}`));
  lines.push('', 'Columns', ...why.map(sentence => `  ${sentence}`));
  const mapped: [string, string | string[] | null][] = Object.entries(mapping);
  const width = Math.max(...mapped.map(([role]) => role.length));
  for (const [role, names] of mapped) {
    const shown = Array.isArray(names) ? names.join(', ') : (names ?? '');
    if (shown !== '') lines.push(`  ${role.padEnd(width)}  ${shown}`);
  }
  const chosen = new Set(mapped.flatMap(([, names]) => names ?? []));
  const rest = columns.filter(({ name }) => !chosen.has(name)).map(({ name, type }) => `${name} (${type})`);
  if (rest.length > 0) lines.push(`  ${'others'.padEnd(width)}  ${rest.join(', ')}`);
  lines.push(
    '',
    'Content',
    `  ${report.rows} rows, ${report.images} images, ${report.references} reference captions`,
  );
  if (report.groups > 0) lines.push(`  ${report.groups} lesions, cases or patients`);
  for (const [name, counts] of [
    ['labels', report.labels],
    ['splits', report.splits],
    ['sources', report.sources],
  ] as const) {
    lines.push(...categories(name, counts));
  }
  lines.push('', 'Findings');
  if (Object.keys(findings).length === 0) {
    lines.push(
      content
        ? '  none: every image is there, can be read and is there once'
        : '  none, images were not opened',
    );
  }
  for (const [state, { count, examples }] of Object.entries(findings)) {
    lines.push(`  ${count} ${state}`);
    for (const { path, reason } of examples.slice(0, SHOWN_EXAMPLES)) lines.push(`    ${path}: ${reason}`);
    if (count > SHOWN_EXAMPLES) lines.push(`    and ${count - SHOWN_EXAMPLES} more`);
  }
  return `${lines.join('\n')}\n`;
}

function list(title: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const shown = names.slice(0, 5).join(', ');
  return [`  ${title}: ${shown}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`];
}

function categories(name: string, counts: Record<string, number>): string[] {
  const values = Object.entries(counts);
  if (values.length === 0) return [];
  const shown = values.slice(0, SHOWN_VALUES).map(([value, count]) => `${value} ${count}`);
  const more = values.length > SHOWN_VALUES ? `, and ${values.length - SHOWN_VALUES} more` : '';
  return [`  ${values.length} ${name}: ${shown.join(', ')}${more}`];
}
