/**
 * The one error class of the front end: a request that failed, in words a person can act on.
 * `code` is stable (the server's own code, or one of `offline`, `forbidden`, `not-installed`,
 * `server-unavailable`, `bad-response`, `contract-version`), `message` a sentence, `hint` what to do.
 */
export class RequestError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  /** HTTP status, or null when no response arrived or the response was unusable. */
  readonly status: number | null;

  constructor(
    code: string,
    message: string,
    options: { hint?: string | undefined; status?: number | undefined; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RequestError';
    this.code = code;
    this.hint = options.hint;
    this.status = options.status ?? null;
  }

  /** True when trying again later can help without anyone doing anything: no network, or a server starting. */
  get passing(): boolean {
    return this.code === 'offline' || (this.status !== null && [502, 503, 504].includes(this.status));
  }

  /** True when the request was given up by its own caller. */
  static isAbort(error: unknown): boolean {
    return (
      (error instanceof DOMException && error.name === 'AbortError') ||
      (error instanceof RequestError && RequestError.isAbort(error.cause))
    );
  }
}
