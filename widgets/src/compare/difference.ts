import { diffArrays } from 'diff';

/** A stretch of a caption: words with their spacing, all in both captions or all in this one only. */
export interface Piece {
  text: string;
  onlyHere: boolean;
}

/**
 * Marks in two captions the words the other one does not have. Words are compared without case and outer
 * punctuation. An alignment (Myers) decides which of several equal words are matched; words it leaves over are
 * matched wherever they stand, since the stages say the same things in different order and a moved word is not a
 * missing one. So a marked word occurs less often in the other caption.
 */
export function markDifferences(a: string, b: string): [Piece[], Piece[]] {
  const wordsA = split(a);
  const wordsB = split(b);
  const onlyA = new Set<number>();
  const onlyB = new Set<number>();
  let atA = 0;
  let atB = 0;
  for (const part of diffArrays(wordsA.map(key), wordsB.map(key))) {
    const n = part.value.length;
    if (part.removed) for (let i = 0; i < n; i++) onlyA.add(atA++);
    else if (part.added) for (let i = 0; i < n; i++) onlyB.add(atB++);
    else {
      atA += n;
      atB += n;
    }
  }
  for (const i of [...onlyA]) {
    const moved = [...onlyB].find(j => key(wordsB[j]!) === key(wordsA[i]!));
    if (moved === undefined) continue;
    onlyA.delete(i);
    onlyB.delete(moved);
  }
  return [pieces(wordsA, onlyA), pieces(wordsB, onlyB)];
}

/** Words, each with the spaces before it; joined they are the caption. */
function split(caption: string): string[] {
  return caption.match(/\s*\S+|\s+$/g) ?? [];
}

function key(word: string): string {
  const bare = word.trim().toLowerCase();
  return bare.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}%]+$/gu, '') || bare;
}

/** Neighbours of one kind are joined; spaces between kinds go to the words in both, so that no mark starts with one. */
function pieces(words: string[], only: Set<number>): Piece[] {
  const joined: Piece[] = [];
  const add = (text: string, onlyHere: boolean) => {
    const last = joined.at(-1);
    if (text === '') return;
    if (last?.onlyHere === onlyHere) last.text += text;
    else joined.push({ text, onlyHere });
  };
  words.forEach((word, i) => {
    const onlyHere = only.has(i);
    const space = /^\s*/.exec(word)![0];
    add(space, onlyHere && only.has(i - 1));
    add(word.slice(space.length), onlyHere);
  });
  return joined;
}
