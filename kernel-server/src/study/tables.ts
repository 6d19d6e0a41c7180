/** The study file's tables as Kysely sees them; `migrations.ts` says what they hold. */
import type { ColumnType, Generated } from 'kysely';

/** JSON text, written and read as text. */
export type JsonText = string;

export interface ImagesTable {
  id: Generated<number>;
  path: string;
  state: string;
  reason: string | null;
  label: string | null;
  split: string | null;
  source: string | null;
  group_id: string | null;
  dataset_id: string | null;
  sha256: string | null;
  size_bytes: number | null;
  modified_ns: string | null;
  width: number | null;
  height: number | null;
  format: string | null;
  perceptual_hash: string | null;
  embedded: JsonText | null;
  manifest: string | null;
  manifest_row: number | null;
  added_ms: number;
  updated_ms: number;
  metadata: JsonText;
}

interface RatingEventColumns {
  key: string;
  kind: 'create' | 'amend' | 'undo';
  rating: string;
  undoes: number | null;
  annotator: string;
  image_id: number;
  item_id: number | null;
  shown: JsonText;
  answer: JsonText | null;
  rubric_id: number;
  schema_version: number;
  client_ms: number;
  server_ms: number;
  time_spent_ms: number;
}

export interface StudyTables {
  settings: { key: string; value: JsonText };
  images: ImagesTable;
  metadata_columns: { id: Generated<number>; name: string };
  /** Beside these: a column for each metadata column. */
  metadata_values: { image_id: number };
  reference_captions: { id: Generated<number>; image_id: number; column_name: string; text: string };
  image_text: { rowid: number; path: string; metadata: string; reference: string };
  releases: { id: Generated<number>; name: string; stage: string; sha256: string; clip_sha256: string };
  recipes: {
    id: Generated<number>;
    release_id: number;
    prompt: string;
    decoding: JsonText;
    precision: string;
    preprocess: string;
    auto_orient: ColumnType<number, boolean, never>;
  };
  captions: {
    id: Generated<number>;
    image_id: number;
    recipe_id: number;
    image_sha256: string;
    caption: string;
    tokens: JsonText;
    score: number | null;
    provider: string;
    ms: number;
    created_ms: number;
    run_id: string | null;
  };
  caption_text: { rowid: number; caption: string };
  embeddings: { image_sha256: string; tower_sha256: string; preprocessing: string; vector: Uint8Array };
  explanations: {
    image_sha256: string;
    recipe_id: number;
    method: string;
    options: JsonText;
    result: Uint8Array;
    created_ms: number;
  };
  runs: {
    id: string;
    state: string;
    detail: string;
    request: JsonText;
    priority: number;
    created_by: string;
    created_ms: number;
    finished_ms: number | null;
    batch_size: number | null;
  };
  run_items: {
    run_id: string;
    image_id: number;
    state: Generated<'pending' | 'done' | 'failed'>;
    seq: number | null;
    error: JsonText | null;
  };
  rubrics: { id: Generated<number>; body: JsonText; created_by: string; created_ms: number };
  assignments: {
    id: Generated<number>;
    name: string;
    state: Generated<'open' | 'closed'>;
    plan: JsonText;
    rubric_id: number;
    created_by: string;
    created_ms: number;
  };
  assignment_items: {
    id: Generated<number>;
    assignment_id: number;
    annotator: string;
    position: number;
    image_id: number;
    left_caption_id: number;
    right_caption_id: number;
    repeat_of: number | null;
    skipped: string | null;
    skipped_ms: number | null;
  };
  rating_events: RatingEventColumns & { id: ColumnType<number, never, never> };
  current_ratings: RatingEventColumns & { id: number };
  saved_views: {
    id: Generated<number>;
    name: string;
    query: JsonText;
    created_by: string;
    created_ms: number;
  };
}
