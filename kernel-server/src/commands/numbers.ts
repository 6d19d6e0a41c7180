import { InvalidArgumentError } from 'commander';

/** A whole number ≥ `least` from the command line. */
export function wholeNumber(least: number): (text: string) => number {
  return text => {
    if (!/^\d+$/.test(text) || Number(text) < least) {
      throw new InvalidArgumentError(`It must be a whole number of at least ${least}.`);
    }
    return Number(text);
  };
}

/** Any finite number from the command line. */
export function anyNumber(text: string): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isFinite(number)) throw new InvalidArgumentError('It must be a number.');
  return number;
}

/** Gathers an option that may be given several times. */
export function gather(value: string, before: string[]): string[] {
  return [...before, value];
}
