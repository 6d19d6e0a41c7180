import { diffArrays } from 'diff';

/** How a word stands to the other caption: in the same order there, elsewhere there, or not there at all. */
export type Presence = 'both' | 'moved' | 'only';

/** A stretch of a caption: words with their spacing, all of one kind. */
export interface Piece {
  text: string;
  presence: Presence;
}

/**
 * Marks in two captions what the other one does not say. Words are compared without case and outer punctuation. An
 * alignment (Myers) finds the words that stand in the same order in both; of the rest, those the other caption has
 * anywhere are `moved` (the stages say the same things in different order, but "left" and "right" may have changed
 * places), and the others `only`.
 */
export function markDifferences(a: string, b: string): [Piece[], Piece[]] {
  const wordsA = split(a);
  const wordsB = split(b);
  const keysA = wordsA.map(key);
  const keysB = wordsB.map(key);
  const presenceA: Presence[] = [];
  const presenceB: Presence[] = [];
  const inA = new Set(keysA);
  const inB = new Set(keysB);
  for (const part of diffArrays(keysA, keysB)) {
    for (const word of part.value) {
      if (part.removed) presenceA.push(inB.has(word) ? 'moved' : 'only');
      else if (part.added) presenceB.push(inA.has(word) ? 'moved' : 'only');
      else {
        presenceA.push('both');
        presenceB.push('both');
      }
    }
  }
  return [pieces(wordsA, presenceA), pieces(wordsB, presenceB)];
}

/** Words, each with the spaces before it; joined they are the caption. */
function split(caption: string): string[] {
  return caption.match(/\s*\S+|\s+$/g) ?? [];
}

function key(word: string): string {
  const bare = word.trim().toLowerCase();
  return bare.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}%]+$/gu, '') || bare;
}

/** Neighbours of one kind are joined; spaces between kinds belong to no mark. */
function pieces(words: string[], presences: Presence[]): Piece[] {
  const joined: Piece[] = [];
  const add = (text: string, presence: Presence) => {
    const last = joined.at(-1);
    if (text === '') return;
    if (last?.presence === presence) last.text += text;
    else joined.push({ text, presence });
  };
  words.forEach((word, i) => {
    const presence = presences[i]!;
    const space = /^\s*/.exec(word)![0];
    add(space, presences[i - 1] === presence ? presence : 'both');
    add(word.slice(space.length), presence);
  });
  return joined;
}
