/**
 * The study file's schema, as the steps that lead to it. Steps are only ever added: a released one never
 * changes, and there is no way back. `PRAGMA user_version` counts the steps that a file has taken.
 */
import type { DatabaseSync } from 'node:sqlite';

/** In the file's header (`PRAGMA application_id`), so that `file` and we know a study: “DrmC”. */
export const APPLICATION_ID = 0x44726d43;

const DATASET = `
  CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL CHECK (json_valid(value))
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    -- Relative to the study's folder, '/' between parts; an embedded image's is CONTAINER/NAME.
    path TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    -- Why the state is not 'ok', in words.
    reason TEXT,
    label TEXT,
    split TEXT,
    source TEXT,
    group_id TEXT,
    dataset_id TEXT,
    -- Of the bytes; size in pixels as displayed, after EXIF's turn.
    sha256 TEXT,
    size_bytes INTEGER,
    modified_ns TEXT,
    width INTEGER,
    height INTEGER,
    format TEXT,
    perceptual_hash TEXT,
    -- Where an image lies that is no file of its own, container relative to the study's folder.
    embedded TEXT CHECK (embedded IS NULL OR json_valid(embedded)),
    manifest TEXT,
    manifest_row INTEGER,
    added_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    metadata TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metadata))
  ) STRICT;
  CREATE INDEX images_by_sha256 ON images (sha256);
  CREATE INDEX images_by_perceptual_hash ON images (perceptual_hash);
  CREATE INDEX images_by_state ON images (state);
  CREATE INDEX images_by_label ON images (label);
  CREATE INDEX images_by_split ON images (split);
  CREATE INDEX images_by_source ON images (source);

  -- Metadata once more, a column for each name, for filters and orders over many images: 'c' and the id.
  CREATE TABLE metadata_columns (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
  ) STRICT;
  CREATE TABLE metadata_values (
    image_id INTEGER PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE
  );

  CREATE TABLE reference_captions (
    id INTEGER PRIMARY KEY,
    image_id INTEGER NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    column_name TEXT NOT NULL,
    text TEXT NOT NULL,
    UNIQUE (image_id, column_name, text)
  ) STRICT;

  CREATE VIRTUAL TABLE image_text USING fts5 (
    path, metadata, reference,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
  );
`;

const CAPTIONS = `
  CREATE TABLE releases (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    stage TEXT NOT NULL,
    -- Of the stage's checkpoint, and of the vision tower's weights.
    sha256 TEXT NOT NULL,
    clip_sha256 TEXT NOT NULL,
    UNIQUE (sha256, stage, clip_sha256)
  ) STRICT;

  -- Everything but the image that a caption follows from. Decoding is JSON with its keys in order.
  CREATE TABLE recipes (
    id INTEGER PRIMARY KEY,
    release_id INTEGER NOT NULL REFERENCES releases (id),
    prompt TEXT NOT NULL,
    decoding TEXT NOT NULL CHECK (json_valid(decoding)),
    precision TEXT NOT NULL,
    preprocess TEXT NOT NULL,
    auto_orient INTEGER NOT NULL CHECK (auto_orient IN (0, 1)),
    UNIQUE (release_id, prompt, decoding, precision, preprocess, auto_orient)
  ) STRICT;

  CREATE TABLE captions (
    id INTEGER PRIMARY KEY,
    image_id INTEGER NOT NULL REFERENCES images (id),
    recipe_id INTEGER NOT NULL REFERENCES recipes (id),
    -- The bytes that were captioned: a changed image's captions are not those of what it is now.
    image_sha256 TEXT NOT NULL,
    caption TEXT NOT NULL,
    tokens TEXT NOT NULL CHECK (json_valid(tokens)),
    score REAL,
    provider TEXT NOT NULL,
    ms REAL NOT NULL,
    created_ms INTEGER NOT NULL,
    run_id TEXT,
    UNIQUE (image_id, recipe_id, image_sha256)
  ) STRICT;
  CREATE INDEX captions_by_recipe ON captions (recipe_id, image_id);

  CREATE VIRTUAL TABLE caption_text USING fts5 (
    caption, content = 'captions', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
  );
  CREATE TRIGGER captions_are_indexed AFTER INSERT ON captions BEGIN
    INSERT INTO caption_text (rowid, caption) VALUES (new.id, new.caption);
  END;
  CREATE TRIGGER captions_are_removed AFTER DELETE ON captions BEGIN
    INSERT INTO caption_text (caption_text, rowid, caption) VALUES ('delete', old.id, old.caption);
  END;

  CREATE TABLE embeddings (
    image_sha256 TEXT NOT NULL,
    tower_sha256 TEXT NOT NULL,
    preprocessing TEXT NOT NULL,
    -- L2-normalised, 32-bit floats, little-endian.
    vector BLOB NOT NULL,
    PRIMARY KEY (image_sha256, tower_sha256, preprocessing)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE explanations (
    image_sha256 TEXT NOT NULL,
    recipe_id INTEGER NOT NULL REFERENCES recipes (id),
    method TEXT NOT NULL,
    options TEXT NOT NULL CHECK (json_valid(options)),
    result BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (image_sha256, recipe_id, method, options)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    -- The request as it came, but for the images, which are the items.
    request TEXT NOT NULL CHECK (json_valid(request)),
    priority INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    batch_size INTEGER
  ) STRICT;

  CREATE TABLE run_items (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    image_id INTEGER NOT NULL REFERENCES images (id),
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    -- Counts the items of a run in the order in which they were finished, failed or retried.
    seq INTEGER,
    error TEXT CHECK (error IS NULL OR json_valid(error)),
    PRIMARY KEY (run_id, image_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX run_items_by_seq ON run_items (run_id, seq);
  CREATE INDEX run_items_by_state ON run_items (run_id, state);
`;

const RATINGS = `
  CREATE TABLE rubrics (
    id INTEGER PRIMARY KEY,
    body TEXT NOT NULL CHECK (json_valid(body)),
    created_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE assignments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
    -- Strategy, seed, shares, annotators: what the queues follow from.
    plan TEXT NOT NULL CHECK (json_valid(plan)),
    rubric_id INTEGER NOT NULL REFERENCES rubrics (id),
    created_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE assignment_items (
    id INTEGER PRIMARY KEY,
    assignment_id INTEGER NOT NULL REFERENCES assignments (id),
    annotator TEXT NOT NULL,
    position INTEGER NOT NULL,
    image_id INTEGER NOT NULL REFERENCES images (id),
    left_caption_id INTEGER NOT NULL REFERENCES captions (id),
    right_caption_id INTEGER NOT NULL REFERENCES captions (id),
    -- The item of the same queue that this one shows again with its sides swapped.
    repeat_of INTEGER REFERENCES assignment_items (id),
    skipped TEXT,
    skipped_ms INTEGER,
    UNIQUE (assignment_id, annotator, position)
  ) STRICT;
  CREATE INDEX assignment_items_by_image ON assignment_items (annotator, image_id);

  CREATE TABLE rating_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Chosen by the client: the same event sent twice is stored once.
    key TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('create', 'amend', 'undo')),
    -- All events of one rating share this; it is the key of its first.
    rating TEXT NOT NULL,
    -- The event that an undo takes back, each at most once.
    undoes INTEGER UNIQUE REFERENCES rating_events (id),
    annotator TEXT NOT NULL,
    image_id INTEGER NOT NULL REFERENCES images (id),
    item_id INTEGER REFERENCES assignment_items (id),
    -- What stood where: {left, right}, each {captionId, stage}.
    shown TEXT NOT NULL CHECK (json_valid(shown)),
    -- Null in an undo.
    answer TEXT CHECK (answer IS NULL OR json_valid(answer)),
    rubric_id INTEGER NOT NULL REFERENCES rubrics (id),
    schema_version INTEGER NOT NULL,
    client_ms INTEGER NOT NULL,
    server_ms INTEGER NOT NULL,
    time_spent_ms INTEGER NOT NULL,
    CHECK ((kind = 'undo') = (undoes IS NOT NULL)),
    CHECK ((kind = 'undo') = (answer IS NULL))
  ) STRICT;
  CREATE INDEX rating_events_by_rating ON rating_events (rating, id);
  CREATE INDEX rating_events_by_image ON rating_events (image_id, annotator);
  CREATE INDEX rating_events_by_item ON rating_events (item_id);
  CREATE TRIGGER rating_events_stay BEFORE UPDATE ON rating_events BEGIN
    SELECT RAISE (ABORT, 'rating events are never changed');
  END;
  CREATE TRIGGER rating_events_remain BEFORE DELETE ON rating_events BEGIN
    SELECT RAISE (ABORT, 'rating events are never deleted');
  END;

  -- The newest event of each rating that has not been taken back.
  CREATE VIEW current_ratings AS
    SELECT e.* FROM rating_events e
    WHERE e.kind <> 'undo'
      AND NOT EXISTS (SELECT 1 FROM rating_events u WHERE u.undoes = e.id)
      AND NOT EXISTS (
        SELECT 1 FROM rating_events later
        WHERE later.rating = e.rating AND later.id > e.id AND later.kind <> 'undo'
          AND NOT EXISTS (SELECT 1 FROM rating_events u WHERE u.undoes = later.id)
      );

  CREATE TABLE saved_views (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    query TEXT NOT NULL CHECK (json_valid(query)),
    created_by TEXT NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;
`;

/** `MIGRATIONS[n]` leads from version n to n + 1. */
export const MIGRATIONS: readonly string[] = [DATASET, CAPTIONS, RATINGS];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** Version of a study's schema; 0 for an empty database. */
export function schemaVersion(database: DatabaseSync): number {
  return (database.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;
}

/** Takes the steps that are missing, each wholly or not at all, up to `target`. */
export function migrate(database: DatabaseSync, target = SCHEMA_VERSION): void {
  for (let version = schemaVersion(database); version < target; version++) {
    database.exec('BEGIN IMMEDIATE');
    try {
      database.exec(MIGRATIONS[version]!);
      database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${version + 1}`);
      database.exec('COMMIT');
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  }
}
