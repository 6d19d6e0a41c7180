import { array, asyncProperty, assert as check, constantFrom, record, nat } from 'fast-check';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  RatingAnswer,
  RatingEventRequest,
  RatingQuery,
  Rubric,
  type RatingResult,
} from '../contract/index.js';
import { annotators, ratingPage, recordRatings } from './ratings.js';
import { currentRubric, DEFAULT_RUBRIC, storeRubric } from './rubric.js';
import { caption, testStudy, type TestStudy } from './testing.js';

let test: TestStudy;
let left: number;
let right: number;

beforeEach(async () => {
  test = await testStudy({ 'a.png': 'A', 'b.png': 'B' });
  await test.import([{ path: 'a.png' }, { path: 'b.png' }]);
  [left, right] = (await caption(test.study, 'a.png', { a: 'One.', b: 'Two.' })) as [number, number];
});
afterEach(() => test.remove());

const answer = (rest: object = {}): object => ({ preference: 'left', ...rest });
const create = (key: string, rest: object = {}): object => ({
  kind: 'create',
  key,
  clientMs: 100,
  timeSpentMs: 5,
  of: { leftCaptionId: left, rightCaptionId: right },
  answer: answer(),
  ...rest,
});
const amend = (key: string, rating: string, rest: object = {}): object => ({
  kind: 'amend',
  key,
  rating,
  clientMs: 100,
  answer: answer(rest),
});
const undo = (key: string, rating: string): object => ({ kind: 'undo', key, rating, clientMs: 100 });

function send(events: object[], annotator = 'ana'): Promise<RatingResult[]> {
  return recordRatings(
    test.study.db,
    events.map(event => RatingEventRequest.parse(event)),
    annotator,
    7,
  );
}

async function current(rest: object = {}): Promise<string[]> {
  const { events } = await ratingPage(test.study.db, RatingQuery.parse(rest));
  return events.map(event => `${event.rating} ${event.answer?.preference ?? 'undone'}`);
}

const statuses = (results: RatingResult[]): string[] =>
  results.map(({ status, error }) => error?.code ?? status);

describe('recordRatings', () => {
  it('stores an event once, however often it is sent', async () => {
    expect(statuses(await send([create('key-00001')]))).toEqual(['stored']);
    const [first] = await send([create('key-00001'), create('key-00001')]);
    expect(first).toMatchObject({ status: 'duplicate', eventId: 1 });
    expect(await current()).toEqual(['key-00001 left']);
  });

  it('refuses another event under the same key', async () => {
    await send([create('key-00001')]);
    const other = create('key-00001', { answer: answer({ preference: 'right' }) });
    expect(statuses(await send([other]))).toEqual(['key-taken']);
    expect(statuses(await send([create('key-00001')], 'ben'))).toEqual(['key-taken']);
  });

  it('lets the newest answer count, and takes one back after the other', async () => {
    const events = [
      create('key-00001'),
      amend('key-00002', 'key-00001', { preference: 'tie' }),
      amend('key-00003', 'key-00001', { preference: 'right' }),
    ];
    expect(statuses(await send(events))).toEqual(['stored', 'stored', 'stored']);
    expect(await current()).toEqual(['key-00001 right']);
    await send([undo('key-00004', 'key-00001')]);
    expect(await current()).toEqual(['key-00001 tie']);
    await send([undo('key-00005', 'key-00001'), undo('key-00006', 'key-00001')]);
    expect(await current()).toEqual([]);
    expect(statuses(await send([undo('key-00007', 'key-00001')]))).toEqual(['rating-undone']);
    expect(statuses(await send([undo('key-00004', 'key-00001')]))).toEqual(['duplicate']);
    expect(await current({ events: 'all' })).toHaveLength(6);
  });

  it('stores what was shown where, and when', async () => {
    await send([create('key-00001')]);
    const { events } = await ratingPage(test.study.db, RatingQuery.parse({}));
    expect(events).toEqual([
      {
        id: 1,
        key: 'key-00001',
        kind: 'create',
        rating: 'key-00001',
        undoes: null,
        annotator: 'ana',
        imageId: 1,
        itemId: null,
        shown: { left: { captionId: left, stage: 'a' }, right: { captionId: right, stage: 'b' } },
        answer: RatingAnswer.parse({ preference: 'left' }),
        rubricId: 1,
        schemaVersion: 1,
        clientMs: 100,
        serverMs: 7,
        timeSpentMs: 5,
      },
    ]);
    expect(await annotators(test.study.db)).toEqual([
      { username: 'ana', ratings: 1, assigned: 0, lastMs: 7 },
    ]);
  });

  it('stores the sound events of a batch and says what is wrong with the others', async () => {
    const [other] = await caption(test.study, 'b.png', { a: 'Three.' });
    const results = await send([
      create('key-00001'),
      create('key-00002', { of: { leftCaptionId: left, rightCaptionId: 999 } }),
      create('key-00003', { of: { leftCaptionId: left, rightCaptionId: other } }),
      create('key-00004', { of: { itemId: 1 } }),
      create('key-00005', { answer: answer({ preference: null }) }),
      create('key-00006', { answer: answer({ marks: { beauty: { left: 1 } } }) }),
      create('key-00007', { answer: answer({ marks: { colour: { left: 6 } } }) }),
      create('key-00008', { answer: answer({ errors: { left: ['too-long'], right: [] } }) }),
      amend('key-00009', 'key-99999'),
      amend('key-00010', 'key-00001', { preference: 'tie' }),
    ]);
    expect(statuses(results)).toEqual([
      'stored',
      'no-such-caption',
      'not-one-image',
      'no-such-item',
      'answer-against-rubric',
      'answer-against-rubric',
      'answer-against-rubric',
      'answer-against-rubric',
      'no-such-rating',
      'stored',
    ]);
    expect(await current()).toEqual(['key-00001 tie']);
  });

  it('keeps people from changing each other’s ratings', async () => {
    await send([create('key-00001')]);
    expect(
      statuses(await send([amend('key-00002', 'key-00001'), undo('key-00003', 'key-00001')], 'ben')),
    ).toEqual(['no-such-rating', 'no-such-rating']);
    await send([create('key-00004')], 'ben');
    expect(await current({ annotator: 'ben' })).toEqual(['key-00004 left']);
  });

  it('agrees with a simple account of what counts, whatever is sent in whatever order', async () => {
    const step = record({
      kind: constantFrom('create', 'amend', 'undo', 'again'),
      of: nat(3),
      side: constantFrom('left', 'right', 'tie'),
    });
    let round = 0;
    await check(
      asyncProperty(array(step, { maxLength: 25 }), async steps => {
        const annotator = `annotator-${round++}`;
        const stacks = new Map<string, string[]>();
        let last: object | null = null;
        for (const [n, { kind, of, side }] of steps.entries()) {
          const key = `${annotator}-${n}`;
          const rating = [...stacks.keys()][of] ?? `${annotator}-none`;
          const event: object =
            kind === 'again' && last
              ? last
              : kind === 'amend'
                ? amend(key, rating, { preference: side })
                : kind === 'undo'
                  ? undo(key, rating)
                  : create(key, { answer: answer({ preference: side }) });
          const [result] = await send([event], annotator);
          if (event === last) {
            expect(result!.status).not.toBe('stored');
            continue;
          }
          const stack = stacks.get(rating);
          if (kind === 'amend' || kind === 'undo') {
            expect(result!.status).toBe(stack && stack.length > 0 ? 'stored' : 'refused');
            if (stack && stack.length > 0) {
              if (kind === 'amend') stack.push(side);
              else stack.pop();
            }
          } else stacks.set(key, [side]);
          last = result!.status === 'stored' ? event : null;
        }
        const counted = [...stacks].flatMap(([rating, stack]) =>
          stack.length > 0 ? `${rating} ${stack.at(-1)}` : [],
        );
        expect((await current({ annotator })).sort()).toEqual(counted.sort());
      }),
      { numRuns: 30 },
    );
  });

  it.each([
    'UPDATE rating_events SET annotator = 1',
    'DELETE FROM rating_events',
    'INSERT OR REPLACE INTO rating_events SELECT * FROM rating_events',
  ])('lets nobody %s', async statement => {
    await send([create('key-00001')]);
    await expect(sql.raw(statement).execute(test.study.db)).rejects.toThrow(/never/);
    expect(await current()).toEqual(['key-00001 left']);
  });
});

describe('the rubric', () => {
  it('is the default until another is stored, and ratings name theirs', async () => {
    expect((await currentRubric(test.study.db, 1)).rubric).toEqual(DEFAULT_RUBRIC);
    await send([create('key-00001')]);
    const rubric = Rubric.parse({
      title: 'Short',
      marks: [{ id: 'colour', label: 'Colour', max: 3, required: true }],
      errors: [],
    });
    const { id } = await storeRubric(test.study.db, rubric, 'ana', 2);
    expect(statuses(await send([create('key-00002')]))).toEqual(['answer-against-rubric']);
    const whole = create('key-00002', { answer: answer({ marks: { colour: { left: 1, right: 3 } } }) });
    expect(statuses(await send([whole]))).toEqual(['stored']);
    const { events } = await ratingPage(test.study.db, RatingQuery.parse({}));
    expect(events.map(({ rubricId }) => rubricId)).toEqual([1, id]);
  });
});
