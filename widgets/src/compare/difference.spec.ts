import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { markDifferences, type Piece } from './difference.js';

const shown = (pieces: Piece[]) =>
  pieces
    .map(({ text, presence }) =>
      presence === 'only' ? `[${text}]` : presence === 'moved' ? `(${text})` : text,
    )
    .join('');

describe('markDifferences', () => {
  it('marks the words only one caption has, whatever their case and punctuation', () => {
    const [a, b] = markDifferences('A red plaque, on the elbow.', 'a brown plaque on the knee');
    expect(shown(a)).toBe('A [red] plaque, on the [elbow.]');
    expect(shown(b)).toBe('a [brown] plaque on the [knee]');
  });

  it('does not call a moved word missing, nor in its old place', () => {
    const [a, b] = markDifferences('on the left arm and right leg', 'on the right arm and left leg');
    expect(shown(a)).toBe('on the (left) arm and (right) leg');
    expect(shown(b)).toBe('on the (right) arm and (left) leg');
  });

  it('joins neighbouring marks and leaves spaces between kinds unmarked', () => {
    expect(markDifferences('thick silvery scale', 'scale')[0]).toEqual([
      { text: 'thick silvery', presence: 'only' },
      { text: ' scale', presence: 'both' },
    ]);
  });

  it('tells numbers and per cent apart', () => {
    expect(shown(markDifferences('45 %', '45')[0])).toBe('45 [%]');
    expect(shown(markDifferences('Age: 45', 'Age: 54')[0])).toBe('Age: [45]');
  });

  it('loses no character, marks nothing in equal captions and everything in strangers', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const [piecesA, piecesB] = markDifferences(a, b);
        expect(piecesA.map(piece => piece.text).join('')).toBe(a);
        expect(piecesB.map(piece => piece.text).join('')).toBe(b);
        expect(markDifferences(a, a)[0].every(piece => piece.presence === 'both')).toBe(true);
      }),
    );
    expect(shown(markDifferences('one two', 'three')[0])).toBe('[one two]');
  });
});
