import { DermcapError } from '../errors.js';

/**
 * Why a part of a file is not read, before it is known which file and where: whoever knows the file turns it into a
 * {@link DermcapError} with {@link refusedIn}.
 */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    sentence: string,
    readonly hint?: string,
  ) {
    super(sentence);
    this.name = 'Refusal';
  }
}

/** @param place where in the file, in words: "data.pkl, byte 120" */
export function refusedIn(path: string, place: string, { code, message, hint }: Refusal): DermcapError {
  return new DermcapError(code, `${path} (${place}): ${message}`, hint === undefined ? {} : { hint });
}

/** Text from a file as it may stand in a message: short, without control characters that a terminal would obey. */
export function printable(text: string, most = 100): string {
  const shown = text.length > most ? `${text.slice(0, most)}…` : text;
  return shown.replace(/\p{C}/gu, '\ufffd');
}
