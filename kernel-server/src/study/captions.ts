/** Captions in a study: one for each image and recipe, so that a rerun costs nothing. */
import type { Kysely, Transaction } from 'kysely';
import type { Caption, StudyCaption } from '../contract/index.js';
import type { StudyDatabase } from './open.js';
import type { StudyTables } from './tables.js';

/** A caption without the image it is of. */
export type NewCaption = Omit<Caption, 'image'>;

/** JSON whose keys are in order, so that equal options are equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** The id of what a caption was made with, stored on first use. */
export async function recipeId(
  db: Kysely<StudyTables> | Transaction<StudyTables>,
  caption: Pick<
    NewCaption,
    'stage' | 'release' | 'clip' | 'prompt' | 'decoding' | 'precision' | 'preprocess' | 'autoOrient'
  >,
): Promise<number> {
  const release = { stage: caption.stage, sha256: caption.release.sha256, clip_sha256: caption.clip.sha256 };
  await db
    .insertInto('releases')
    .values({ ...release, name: caption.release.name })
    .onConflict(conflict => conflict.doNothing())
    .execute();
  const { id: releaseId } = await db
    .selectFrom('releases')
    .select('id')
    .where(eb => eb.and(release))
    .executeTakeFirstOrThrow();
  const recipe = {
    release_id: releaseId,
    prompt: caption.prompt,
    decoding: canonicalJson(caption.decoding),
    precision: caption.precision,
    preprocess: caption.preprocess,
  };
  await db
    .insertInto('recipes')
    .values({ ...recipe, auto_orient: caption.autoOrient })
    .onConflict(conflict => conflict.doNothing())
    .execute();
  const { id } = await db
    .selectFrom('recipes')
    .select('id')
    .where(eb => eb.and(recipe))
    .where('auto_orient', '=', caption.autoOrient ? 1 : 0)
    .executeTakeFirstOrThrow();
  return id;
}

/** Stores the captions of an image; one that is there already stays as it is. */
export async function storeCaptions(
  db: Transaction<StudyTables>,
  image: { id: number; sha256: string },
  captions: readonly NewCaption[],
  made: { runId: string | null; nowMs: number },
): Promise<void> {
  for (const caption of captions) {
    await db
      .insertInto('captions')
      .values({
        image_id: image.id,
        recipe_id: await recipeId(db, caption),
        image_sha256: image.sha256,
        caption: caption.caption,
        tokens: JSON.stringify(caption.tokens),
        score: caption.score,
        provider: caption.provider,
        ms: caption.ms,
        created_ms: made.nowMs,
        run_id: made.runId,
      })
      .onConflict(conflict => conflict.columns(['image_id', 'recipe_id', 'image_sha256']).doNothing())
      .execute();
  }
}

/** Every caption of an image, the newest first, with all that made it. */
export async function captionsOf(db: StudyDatabase, imageId: number): Promise<StudyCaption[]> {
  const rows = await db
    .selectFrom('captions as c')
    .innerJoin('recipes as r', 'r.id', 'c.recipe_id')
    .innerJoin('releases as l', 'l.id', 'r.release_id')
    .selectAll('c')
    .select(['r.prompt', 'r.decoding', 'r.precision', 'r.preprocess', 'r.auto_orient'])
    .select(['l.name', 'l.stage', 'l.sha256', 'l.clip_sha256'])
    .where('c.image_id', '=', imageId)
    .orderBy('c.id', 'desc')
    .execute();
  return rows.map(row => ({
    id: row.id,
    imageId,
    imageSha256: row.image_sha256,
    createdMs: row.created_ms,
    stage: row.stage as Caption['stage'],
    caption: row.caption,
    tokens: JSON.parse(row.tokens) as number[],
    score: row.score,
    release: { name: row.name, sha256: row.sha256 },
    clip: { sha256: row.clip_sha256 },
    prompt: row.prompt,
    decoding: JSON.parse(row.decoding) as Caption['decoding'],
    precision: row.precision,
    provider: row.provider,
    preprocess: row.preprocess as Caption['preprocess'],
    autoOrient: row.auto_orient === 1,
    ms: row.ms,
  }));
}
