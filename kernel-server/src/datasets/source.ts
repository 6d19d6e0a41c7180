/**
 * What a dataset is to the rest of the program: rows, each an image with what the dataset says of it. Every
 * format is read into these; nothing here touches a disk.
 */

/** A cell of a table: what JSON and SQLite both keep. */
export type Scalar = string | number | boolean | null;

/** One row of a table by column name. Lists and records within a cell are JSON text. */
export type TableRecord = Record<string, Scalar>;

export type DatasetKind =
  | 'folder'
  | 'csv'
  | 'jsonl'
  | 'parquet'
  | 'xlsx'
  | 'coco-captions'
  | 'image-folder'
  | 'parquet-shards'
  | 'webdataset';

/** A caption that came with the image, and the column (or member, or key) that held it. */
export interface Reference {
  text: string;
  column: string;
}

/** Where the bytes of an image lie that is no file of its own. `container` is relative to the dataset's root. */
export type EmbeddedImage =
  | { in: 'tar'; container: string; offset: number; sizeBytes: number }
  | { in: 'parquet'; container: string; column: string; row: number };

/**
 * Why a row has no image that can be opened: its file is not there, its name fits several files, leads out of
 * the dataset's root, is empty, or the row itself is damaged.
 */
export type RowState = 'missing' | 'ambiguous' | 'outside-root' | 'no-image' | 'damaged';

export interface RowProblem {
  state: RowState;
  /** A sentence that names file and row. */
  reason: string;
}

export interface DatasetRow {
  /**
   * Path of the image relative to the dataset's root, `/` between parts. An embedded image goes by
   * `CONTAINER/NAME`; a row without an image that could be found by the name that the dataset gives, or by
   * `MANIFEST#ROW` when it gives none. The same path may come more than once: a manifest with a row for each
   * caption. Those rows are one image, their references together.
   */
  path: string;
  /** Where it stands: the record's number in its file from 1, the header not counted. */
  row: number;
  /** The file it stands in, relative to the dataset's root; null for a plain folder. */
  manifest: string | null;
  /** Every column but the captions, as numbers and truth values where cells are such. */
  metadata: TableRecord;
  references: Reference[];
  label?: string;
  split?: string;
  source?: string;
  /** Lesion, case or patient: images of one group belong on one side of a split. */
  group?: string;
  /** The dataset's own name for the image or row. */
  id?: string;
  embedded?: EmbeddedImage;
  problem?: RowProblem;
}

export interface Column {
  name: string;
  /** What its first values are. */
  type: 'text' | 'number' | 'boolean' | 'image' | 'empty';
}

/** Which columns say what. Columns that are not named stay metadata. */
export interface ColumnMapping {
  /** Columns that name or hold an image: each gives a row of its own. */
  image: string[];
  /** Columns whose text is a reference caption; empty cells give none. */
  captions: string[];
  /**
   * One column: its value, of a dictionary of weights the heaviest entry. Several: of numbers (one-hot or
   * probability columns) the name of the highest, of text the first that is not empty.
   */
  label: string[];
  split: string | null;
  source: string | null;
  group: string | null;
  id: string | null;
}

export interface MappingGuess {
  mapping: ColumnMapping;
  /** Identifier of the known dataset whose header this is; null for any other. */
  preset: string | null;
  /** From 0 to 1: 1 for a preset's header, below 0.5 a person should look closely. */
  confidence: number;
  /** A sentence per decision. */
  why: string[];
}

export interface RowsOptions {
  /** Default: the guess. */
  mapping?: ColumnMapping;
  signal?: AbortSignal;
}

/** A dataset that has been recognised. Nothing is kept open between calls. */
export interface DatasetSource {
  kind: DatasetKind;
  /** Real path of the folder that row paths are relative to. */
  root: string;
  /** Files that are read for rows, relative to the root: manifests, shards; empty for a plain folder. */
  files: string[];
  /** Rows, when that is known without reading them all. */
  count?: number;
  columns(): Promise<Column[]>;
  /** The first records as they stand, at most `n`. */
  preview(n: number): Promise<TableRecord[]>;
  guess(): Promise<MappingGuess>;
  /**
   * All rows in order, in constant memory. A row at fault comes with its `problem`, the others go on.
   * @throws DermcapError `dataset-damaged` where the file itself cannot be read on, with file and row;
   *   the signal's reason when it is aborted
   */
  rows(options?: RowsOptions): AsyncIterable<DatasetRow>;
}

/** What is known of an image's bytes. */
export interface ImageFacts {
  sizeBytes: number;
  /** Of the bytes, lower-case hexadecimal. */
  sha256: string;
  /** As displayed: turned upright by EXIF. */
  width: number;
  height: number;
  format: string;
  /** 64-bit pHash of the upright image, 16 hexadecimal digits; see `perceptual-hash.ts`. */
  perceptualHash: string;
  /** Modification time in nanoseconds; with the size it tells whether the facts are still good. '0' if embedded. */
  modifiedNs: string;
}
