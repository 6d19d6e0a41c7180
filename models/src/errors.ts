/**
 * The one error class of DermCap: what went wrong, where, and what to do.
 * `code` is stable and machine-readable (kebab-case); `message` is a sentence for a person;
 * `hint` says what they can do about it.
 */
export class DermcapError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DermcapError';
    this.code = code;
    this.hint = options.hint;
  }
}
