/** What a dataset is and what is wrong with it, without a study. */
import type { Dataset } from './dataset.js';
import { fingerprints, type FingerprintOptions } from './fingerprints.js';
import type { ImageRef } from './image-facts.js';
import { findDuplicates, type HashedImage } from './near-duplicates.js';
import type { Column, ColumnMapping, DatasetKind } from './source.js';

/** Examples that are kept of each finding; its count is of all. */
const EXAMPLES = 20;

export interface Finding {
  count: number;
  examples: { path: string; reason: string }[];
}

export interface DatasetReport {
  kind: DatasetKind;
  root: string;
  files: string[];
  /** Manifests beside it that were not read. */
  others: string[];
  notes: string[];
  preset: string | null;
  confidence: number;
  why: string[];
  columns: Column[];
  mapping: ColumnMapping;
  rows: number;
  images: number;
  references: number;
  labels: Record<string, number>;
  splits: Record<string, number>;
  sources: Record<string, number>;
  /** Lesions, cases or patients. */
  groups: number;
  /** By state: missing, ambiguous, outside-root, no-image, damaged, unreadable, duplicate, near-duplicate. */
  findings: Record<string, Finding>;
}

export interface InspectOptions extends Pick<FingerprintOptions, 'dicom' | 'signal' | 'threads'> {
  mapping?: ColumnMapping;
  /** False looks at no image's content: quick, but unreadable images and duplicates stay unknown. */
  content?: boolean;
  maxDistance?: number;
  onProgress?: (step: 'rows' | 'images', done: number) => void;
}

/**
 * Reads all rows and, unless told otherwise, all images of a dataset.
 * @throws DermcapError as `Dataset.rows`
 */
export async function inspectDataset(dataset: Dataset, options: InspectOptions = {}): Promise<DatasetReport> {
  const { signal, content = true, onProgress } = options;
  const guess = await dataset.guess();
  const mapping = options.mapping ?? guess.mapping;
  const findings: Record<string, Finding> = {};
  const find = (state: string, path: string, reason: string): void => {
    const finding = (findings[state] ??= { count: 0, examples: [] });
    finding.count++;
    if (finding.examples.length < EXAMPLES) finding.examples.push({ path, reason });
  };
  const counts = { labels: new Counter(), splits: new Counter(), sources: new Counter() };
  const groups = new Set<string>();
  const images = new Map<string, ImageRef>();
  let rows = 0;
  let references = 0;
  for await (const row of dataset.rows({ mapping, ...(signal ? { signal } : {}) })) {
    if (++rows % 1000 === 0) onProgress?.('rows', rows);
    references += row.references.length;
    counts.labels.add(row.label);
    counts.splits.add(row.split);
    counts.sources.add(row.source);
    if (row.group !== undefined) groups.add(row.group);
    if (row.problem) find(row.problem.state, row.path, row.problem.reason);
    else images.set(row.path, row.embedded ? { path: row.path, embedded: row.embedded } : { path: row.path });
  }
  onProgress?.('rows', rows);
  if (content) await inspectContent(dataset.root, images.values(), options, find);
  return {
    kind: dataset.kind,
    root: dataset.root,
    files: dataset.files,
    others: dataset.others,
    notes: dataset.notes,
    ...guess,
    columns: await dataset.columns(),
    mapping,
    rows,
    images: images.size,
    references,
    labels: counts.labels.sorted(),
    splits: counts.splits.sorted(),
    sources: counts.sources.sorted(),
    groups: groups.size,
    findings,
  };
}

async function inspectContent(
  root: string,
  images: Iterable<ImageRef>,
  options: InspectOptions,
  find: (state: string, path: string, reason: string) => void,
): Promise<void> {
  const { dicom, signal, threads, maxDistance, onProgress } = options;
  const hashed: HashedImage[] = [];
  const results = fingerprints(root, images, {
    ...(dicom ? { dicom } : {}),
    ...(signal ? { signal } : {}),
    ...(threads === undefined ? {} : { threads }),
    onProgress: done => onProgress?.('images', done),
  });
  for await (const result of results) {
    if ('facts' in result)
      hashed.push({
        path: result.path,
        sha256: result.facts.sha256,
        perceptualHash: result.facts.perceptualHash,
      });
    else find(result.fault.state, result.path, result.fault.reason);
  }
  const duplicates = await findDuplicates(hashed, {
    ...(maxDistance === undefined ? {} : { maxDistance }),
    ...(signal ? { signal } : {}),
  });
  for (const { path, state, of, distance } of duplicates) {
    const bits = distance === 1 ? '1 bit' : `${distance} bits`;
    find(
      state,
      path,
      state === 'duplicate' ? `the same bytes as ${of}` : `looks like ${of} (${bits} of 64 differ)`,
    );
  }
}

/** Distinct values are counted up to this many: beyond, a column is no category (CWE-770). */
const MAX_VALUES = 10_000;

class Counter {
  readonly #counts = new Map<string, number>();

  add(value: string | undefined): void {
    if (value === undefined || (this.#counts.size >= MAX_VALUES && !this.#counts.has(value))) return;
    this.#counts.set(value, (this.#counts.get(value) ?? 0) + 1);
  }

  /** The most frequent first. */
  sorted(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort((a, b) => b[1] - a[1]));
  }
}
