import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseLiteral } from './literal.js';
import { guessMapping } from './mapping.js';
import { labelOf } from './rows.js';
import { typed } from './tables/table.js';
import type { TableRecord } from './source.js';

/** Records from a header and rows. */
function records(columns: string[], ...rows: (string | null)[][]): TableRecord[] {
  return rows.map(row => Object.fromEntries(columns.map((column, index) => [column, row[index] ?? null])));
}

describe('the mapping of a header that is not known', () => {
  it('goes by names and by what the cells hold', () => {
    const columns = ['Patient ID', 'photo', 'Report', 'Diagnosis', 'Set', 'age'];
    const sample = records(columns, [
      'P1',
      'x/1.jpg',
      'A red plaque on the arm.',
      'psoriasis',
      'train',
      '40',
    ]);
    const guess = guessMapping(columns, sample, { isImage: () => false });
    expect(guess).toMatchObject({
      preset: null,
      mapping: {
        image: ['photo'],
        captions: ['Report'],
        label: ['Diagnosis'],
        split: 'Set',
        group: 'Patient ID',
        source: null,
        id: null,
      },
    });
    expect(guess.confidence).toBeLessThan(0.5);
    expect(guess.why[0]).toBe('“photo” holds names of image files, but none of the first was found.');
  });

  it('prefers the column whose images are there', () => {
    const columns = ['original', 'copy'];
    const sample = records(columns, ['old/a.jpg', 'a.png'], ['old/b.jpg', 'b.png']);
    const guess = guessMapping(columns, sample, { isImage: name => name.endsWith('.png') });
    expect(guess.mapping.image).toEqual(['copy']);
    expect(guess.confidence).toBeGreaterThan(0.8);
  });

  it('finds names without an ending by what is there', () => {
    const columns = ['n', 'code', 'words'];
    const sample = records(columns, ['1', 'DERM_1', 'brown'], ['2', 'DERM_2', 'red']);
    const guess = guessMapping(columns, sample, { isImage: name => name.startsWith('DERM_') });
    expect(guess.mapping.image).toEqual(['code']);
  });

  it('takes sentences for captions where no name says so', () => {
    const columns = ['file', 'beschreibung'];
    const sample = records(columns, ['a.jpg', 'Eine rote Plaque mit silbriger Schuppung am Ellenbogen.']);
    expect(guessMapping(columns, sample).mapping.captions).toEqual(['beschreibung']);
  });

  it('sees several images a row and one-hot labels', () => {
    const columns = ['image_1', 'image_2', 'nev', 'mel', 'bcc'];
    const sample = records(columns, ['a.jpg', 'b.jpg', '1', '0', '0.0'], ['c.jpg', 'd.jpg', '0', '0', '1.0']);
    const { mapping } = guessMapping(columns, sample);
    expect(mapping).toMatchObject({ image: ['image_1', 'image_2'], label: ['nev', 'mel', 'bcc'] });
    expect(sample.map(record => labelOf(record, mapping.label))).toEqual(['nev', 'bcc']);
  });

  it('admits that it knows no image', () => {
    const guess = guessMapping(['a', 'b'], records(['a', 'b'], ['1', '2']));
    expect(guess).toMatchObject({ mapping: { image: [] }, confidence: 0 });
  });

  it('names columns that are there, whatever the table', () => {
    const cell = fc.option(fc.oneof(fc.string(), fc.constantFrom('a.jpg', '1', 'nevus', 'x y z a b c d e')), {
      nil: null,
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.oneof(fc.string(), fc.constantFrom('image', 'caption', 'label', '__proto__')), {
          minLength: 1,
          maxLength: 6,
        }),
        fc.array(fc.array(cell, { maxLength: 6 }), { maxLength: 6 }),
        (columns, rows) => {
          const { mapping, confidence } = guessMapping(columns, records(columns, ...rows));
          const { image, captions, label, split, source, group, id } = mapping;
          for (const column of [...image, ...captions, ...label, split, source, group, id]) {
            if (column !== null) expect(columns).toContain(column);
          }
          expect(confidence).toBeGreaterThanOrEqual(0);
          expect(confidence).toBeLessThanOrEqual(1);
        },
      ),
    );
  });
});

describe('cells', () => {
  it.each([
    ["{'Eczema': 0.41, \"Lewy's\": 0.59}", "Lewy's"],
    ['{"a": 1, "b": 0.5}', 'a'],
    ['{}', undefined],
    ["['Eczema', 'Acne']", 'Eczema, Acne'],
    ['nevus', 'nevus'],
    ['007', '007'],
    ['{not a literal', '{not a literal'],
  ])('give %s the label %s', (cell, label) => {
    expect(labelOf({ x: cell }, ['x'])).toBe(label);
  });

  it('take the first text of several columns, none where all are empty', () => {
    expect(labelOf({ a: null, b: 'nan', c: 'Nevus' }, ['a', 'b', 'c'])).toBe('Nevus');
    expect(labelOf({ a: null, b: '' }, ['a', 'b'])).toBeUndefined();
    expect(labelOf({ a: '0.0', b: '0.0' }, ['a', 'b'])).toBeUndefined();
  });

  it.each<[string, unknown]>([
    ['12', 12],
    ['-0.5', -0.5],
    ['1.5e-3', 0.0015],
    ['True', true],
    ['NaN', null],
    ['007', '007'],
    ['12e5', '12e5'],
    ['9007199254740993123', '9007199254740993123'],
    ['1,5', '1,5'],
  ])('take %s for %j', (cell, value) => {
    expect(typed(cell)).toBe(value);
  });

  it('are never executed, and never take long', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'[]{}()\'",:\\1eTrueNone x') }), text => {
        const literal = parseLiteral(text);
        expect(literal === undefined || Array.isArray(literal) || literal instanceof Map).toBe(true);
      }),
      { numRuns: 2000 },
    );
    expect(parseLiteral('['.repeat(50_000) + ']'.repeat(50_000))).toBeUndefined();
    expect(parseLiteral("__import__('os').system('ls')")).toBeUndefined();
  });

  it('read back what JSON wrote', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.boolean(), fc.constant(null))),
        list => {
          expect(parseLiteral(JSON.stringify(list))).toEqual(list);
        },
      ),
    );
  });
});
