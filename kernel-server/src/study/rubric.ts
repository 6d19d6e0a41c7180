/** What annotators are asked. A study starts with the default, and may ask something else. */
import { Rubric, type StoredRubric } from '../contract/index.js';
import type { StudyDatabase } from './open.js';

/** The prompt's own criteria, precision and recall after THumB (Kasai et al. 2022), and the errors that matter. */
export const DEFAULT_RUBRIC: Rubric = Rubric.parse({
  title: 'Two captions of one lesion',
  marks: [
    { id: 'morphology', label: 'Morphology' },
    { id: 'colour', label: 'Colour' },
    { id: 'scale', label: 'Scale' },
    { id: 'border', label: 'Border' },
    { id: 'location', label: 'Location' },
    { id: 'diagnosis', label: 'Diagnosis' },
    { id: 'precision', label: 'Precision', description: 'What it says is there to be seen.' },
    { id: 'recall', label: 'Recall', description: 'It says what there is to be seen.' },
  ],
  errors: [
    { id: 'hallucinated-finding', label: 'Hallucinated finding' },
    { id: 'wrong-morphology', label: 'Wrong morphology' },
    { id: 'wrong-site', label: 'Wrong site' },
    { id: 'wrong-colour', label: 'Wrong colour or skin tone' },
    { id: 'unsupported-diagnosis', label: 'Unsupported diagnosis' },
    { id: 'unsafe-advice', label: 'Unsafe advice' },
  ],
});

/** The rubric that new ratings follow; the default is put into a study that has none. */
export async function currentRubric(db: StudyDatabase, nowMs: number): Promise<StoredRubric> {
  const row = await db.selectFrom('rubrics').selectAll().orderBy('id', 'desc').limit(1).executeTakeFirst();
  if (!row) return storeRubric(db, DEFAULT_RUBRIC, 'dermcap', nowMs);
  return { id: row.id, rubric: parse(row.body), createdBy: row.created_by, createdMs: row.created_ms };
}

/** Makes a rubric the one that new ratings follow; earlier ratings keep theirs. */
export async function storeRubric(
  db: StudyDatabase,
  rubric: Rubric,
  createdBy: string,
  createdMs: number,
): Promise<StoredRubric> {
  const { id } = await db
    .insertInto('rubrics')
    .values({ body: JSON.stringify(rubric), created_by: createdBy, created_ms: createdMs })
    .returning('id')
    .executeTakeFirstOrThrow();
  return { id, rubric, createdBy, createdMs };
}

function parse(body: string): Rubric {
  return Rubric.parse(JSON.parse(body));
}
