import { array, asyncProperty, constantFrom, assert as check, nat, record } from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImageFilter } from '../contract/index.js';
import { FacetRequest, StudyImageSearch } from '../contract/index.js';
import { searchWords } from './filter.js';
import { facets, imagePage } from './images.js';
import { recordRatings } from './ratings.js';
import { caption, testStudy, type TestStudy } from './testing.js';

let test: TestStudy;
const ANA = { username: 'ana' };

beforeEach(async () => {
  test = await testStudy({ 'a.png': 'A', 'b.png': 'B', 'c.png': 'C', 'd.png': 'A' });
  await test.import([
    { path: 'a.png', label: 'nevus', metadata: { dx: 'nevus', age: 40, note: 'Größe 5 mm' } },
    { path: 'b.png', label: 'melanoma', metadata: { dx: 'melanoma', age: 71.5, male: true } },
    { path: 'c.png', metadata: { dx: 'nevus', age: '', 'odd "name"': '%_' } },
    { path: 'd.png', references: [{ text: 'A brown papule.', column: 'caption' }] },
  ]);
});
afterEach(() => test.remove());

async function paths(filter: ImageFilter, rest: Partial<StudyImageSearch> = {}): Promise<string[]> {
  const { images, total } = await imagePage(test.study.db, StudyImageSearch.parse({ filter, ...rest }), ANA);
  expect(total).toBe(images.length);
  return images.map(({ path }) => path[0]!);
}

describe('imagePage', () => {
  it.each<[ImageFilter, string]>([
    [{}, 'abcd'],
    [{ where: [{ column: 'label', in: ['nevus'] }] }, 'a'],
    [{ where: [{ column: 'label', in: ['nevus', null] }] }, 'acd'],
    [{ where: [{ column: 'label', notIn: ['nevus'] }] }, 'bcd'],
    [{ where: [{ column: 'label', notIn: [null] }] }, 'ab'],
    [
      {
        where: [
          { column: 'meta.dx', in: ['nevus'] },
          { column: 'meta.age', in: [null] },
        ],
      },
      'c',
    ],
    [{ where: [{ column: 'meta.age', min: 40 }] }, 'ab'],
    [{ where: [{ column: 'meta.age', min: 40, max: 71 }] }, 'a'],
    [{ where: [{ column: 'meta.male', in: [true] }] }, 'b'],
    [{ where: [{ column: 'meta.odd "name"', in: ['%_'] }] }, 'c'],
    [{ where: [{ column: 'path', min: 'b', max: 'c.png' }] }, 'bc'],
    [{ ids: [1, 3, 99] }, 'ac'],
    [{ duplicate: 'exact' }, 'ad'],
    [{ text: 'GROSSE' }, ''],
    [{ text: 'grö' }, 'a'],
    [{ text: 'grosse' }, ''],
    [{ text: 'brown pap' }, 'd'],
    [{ text: '"brown" OR papule*' }, ''],
    [{ text: '***' }, 'abcd'],
  ])('finds %j', async (filter, found) => {
    expect((await paths(filter)).join('')).toBe(found);
  });

  it('finds captions by their words, by their stage, and by their being of older bytes', async () => {
    await caption(test.study, 'a.png', { a: 'A pigmented macule.' });
    await caption(test.study, 'b.png', { a: 'A plaque.', b: 'An ulcer.' });
    expect(await paths({ text: 'macule' })).toEqual(['a']);
    expect(
      await paths({
        captioned: [
          { stage: 'a', is: true },
          { stage: 'b', is: false },
        ],
      }),
    ).toEqual(['a']);
    expect(await paths({ captioned: [{ stage: 'b', is: false }] })).toEqual(['a', 'c', 'd']);
    await test.study.db.updateTable('images').set({ sha256: 'other' }).where('path', '=', 'a.png').execute();
    expect(await paths({ captioned: [{ stage: 'a', is: true }] })).toEqual(['b']);
    const { images } = await imagePage(test.study.db, StudyImageSearch.parse({}), ANA);
    expect(images.map(({ captions }) => captions.map(({ stage }) => stage).join(''))).toEqual([
      '',
      'ab',
      '',
      '',
    ]);
  });

  it('shows the newest caption of a stage, and an equal one costs nothing', async () => {
    await caption(test.study, 'a.png', { a: 'First.' });
    expect(await caption(test.study, 'a.png', { a: 'First again.' })).toHaveLength(1);
    expect(await caption(test.study, 'a.png', { a: 'Greedy.' }, { prompt: 'Another.' })).toHaveLength(2);
    const { images } = await imagePage(test.study.db, StudyImageSearch.parse({ limit: 1 }), ANA);
    expect(images[0]!.captions).toMatchObject([
      { stage: 'a', caption: 'Greedy.', release: { name: 'pair' } },
    ]);
  });

  it('knows what has been rated, and by whom', async () => {
    const [left, right] = await caption(test.study, 'b.png', { a: 'One.', b: 'Two.' });
    const event = {
      kind: 'create' as const,
      key: 'key-00001',
      clientMs: 1,
      timeSpentMs: 1,
      of: { leftCaptionId: left!, rightCaptionId: right! },
      answer: {
        preference: 'left' as const,
        marks: {},
        errors: { left: [], right: [] },
        unusable: false,
        edited: null,
        note: '',
        guess: null,
      },
    };
    await recordRatings(test.study.db, [event], 'ben', 5);
    expect(await paths({ rated: 'anyone' })).toEqual(['b']);
    expect(await paths({ rated: 'nobody' })).toEqual(['a', 'c', 'd']);
    expect(await paths({ rated: 'me' })).toEqual([]);
    expect(await paths({ rated: 'not-me' })).toHaveLength(4);
    const { images } = await imagePage(test.study.db, StudyImageSearch.parse({ filter: { ids: [2] } }), ANA);
    expect(images[0]).toMatchObject({ raters: 1, ratedByMe: false });
  });

  it('refuses columns and cursors that are not there', async () => {
    for (const column of ['meta.none', 'toString', 'metadata', 'i.id']) {
      await expect(paths({ where: [{ column, in: [1] }] })).rejects.toMatchObject({ code: 'no-such-column' });
      await expect(paths({}, { sort: column })).rejects.toMatchObject({ code: 'no-such-column' });
    }
    for (const cursor of ['', '?', 'W10', Buffer.from('[{},1]').toString('base64url')]) {
      await expect(paths({}, { cursor })).rejects.toMatchObject({ code: 'invalid-cursor' });
    }
  });

  it('gives every image once, page by page, by any column in either order', async () => {
    const row = record({
      value: constantFrom<string | number | boolean | null>(null, '', 'x', 'y', 1, 2, 2.5, -1, true, '1'),
      other: nat(3),
    });
    let round = 0;
    await check(
      asyncProperty(
        array(row, { minLength: 1, maxLength: 30 }),
        constantFrom('meta.value', 'meta.other', 'path', 'label'),
        constantFrom<StudyImageSearch['order']>('ascending', 'descending'),
        nat(6),
        async (rows, sort, order, size) => {
          const prefix = `round${round++}`;
          await test.import(
            rows.map((metadata, n) => ({
              path: `${prefix}/${n}.png`,
              metadata,
              source: prefix,
              label: `${n % 3}`,
            })),
          );
          const seen: number[] = [];
          const filter = { where: [{ column: 'source', in: [prefix] }] };
          for (let cursor: string | null | undefined; cursor !== null;) {
            const query = StudyImageSearch.parse({ filter, sort, order, limit: size + 1, cursor });
            const page = await imagePage(test.study.db, query, ANA);
            expect(page.total).toBe(rows.length);
            seen.push(...page.images.map(({ id }) => id));
            cursor = page.cursor;
          }
          const whole = StudyImageSearch.parse({ filter, sort, order });
          const { images } = await imagePage(test.study.db, whole, ANA);
          expect(seen).toEqual(images.map(({ id }) => id));
          expect(new Set(seen).size).toBe(rows.length);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('facets', () => {
  it('counts each column under the conditions on all others', async () => {
    const request = FacetRequest.parse({
      filter: { where: [{ column: 'meta.dx', in: ['melanoma'] }] },
      columns: ['meta.dx', 'label', 'meta.age'],
    });
    expect(await facets(test.study.db, request, ANA)).toEqual([
      {
        column: 'meta.dx',
        values: [
          { value: 'nevus', count: 2 },
          { value: null, count: 1 },
          { value: 'melanoma', count: 1 },
        ],
        distinct: 3,
        min: null,
        max: null,
      },
      { column: 'label', values: [{ value: 'melanoma', count: 1 }], distinct: 1, min: null, max: null },
      { column: 'meta.age', values: [{ value: 71.5, count: 1 }], distinct: 1, min: 71.5, max: 71.5 },
    ]);
  });

  it('says how many values there are when it shows fewer, and the range of all', async () => {
    const request = FacetRequest.parse({ columns: ['id'], limit: 2 });
    expect(await facets(test.study.db, request, ANA)).toMatchObject([{ distinct: 4, min: 1, max: 4 }]);
  });
});

describe('searchWords', () => {
  it('takes nothing a person types for a query language', () => {
    expect(searchWords('a "b OR c*')).toBe('"a" "b" "OR" "c"*');
    expect(searchWords('  -- ')).toBe(null);
    expect(searchWords('NEAR(x, y) AND z')).toBe('"NEAR" "x" "y" "AND" "z"*');
  });
});
