/**
 * A sort key under which plain string comparison gives the order people expect: `img2` before `img10`,
 * letter case and accents ignored. One key per name is much cheaper than `Intl.Collator` per comparison.
 */
export function naturalKey(name: string): string {
  const plain = /^[\x20-\x7e]*$/.test(name) ? name : name.normalize('NFKD').replace(/\p{Mn}/gu, '');
  // A run of digits sorts by its length first: prefix it with a character that says how long it is.
  return plain.toLowerCase().replace(/\d+/g, digits => {
    const significant = digits.replace(/^0+(?=\d)/, '');
    return '0' + String.fromCharCode(0x30 + Math.min(significant.length, 0x7000)) + significant;
  });
}

/** Sorts names in natural order; names with equal keys stay in plain order, so the result is always the same. */
export function naturalSort(names: readonly string[]): string[] {
  return names
    .map(name => [naturalKey(name), name] as const)
    .sort(([keyA, a], [keyB, b]) => (keyA < keyB ? -1 : keyA > keyB ? 1 : a < b ? -1 : a > b ? 1 : 0))
    .map(([, name]) => name);
}
