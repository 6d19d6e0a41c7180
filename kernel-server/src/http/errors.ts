/**
 * From an error to what the client may know: a code, an HTTP status, a sentence and a hint. Anything that is
 * not a `DermcapError` is logged under an id, and the client gets the id alone.
 */
import { randomUUID } from 'node:crypto';
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { DermcapError } from '@dermcap/models/errors';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type { ErrorBody as ErrorBodySchema } from '../contract/index.js';

type ErrorBody = z.infer<typeof ErrorBodySchema>;

const STATUS: Record<string, number> = {
  'invalid-request': 400,
  'not-a-file': 400,
  'not-a-folder': 400,
  'no-such-stage': 400,
  'not-signed-in': 401,
  'path-outside-root': 403,
  'unreadable-folder': 403,
  'invalid-cursor': 400,
  'no-such-column': 400,
  'no-such-caption': 404,
  'no-such-folder': 404,
  'no-such-image': 404,
  'no-such-study': 404,
  'no-such-view': 404,
  'import-running': 409,
  'no-such-import': 404,
  'run-has-ended': 409,
  'run-is-working': 409,
  'study-exists': 409,
  'study-in-use': 409,
  'study-newer': 409,
  'too-many-studies': 429,
  'study-busy': 503,
  'disk-full': 507,
  'study-write-failed': 507,
  'study-read-only': 409,
  'study-unreachable': 409,
  'no-such-file': 404,
  'no-such-release': 404,
  'no-such-route': 404,
  'no-such-run': 404,
  'broken-release': 409,
  'body-too-large': 413,
  'range-not-satisfiable': 416,
  'too-many-images': 422,
  'image-missing': 404,
  'too-many-runs': 429,
  internal: 500,
  'shutting-down': 503,
};

/** HTTP status of an error code; codes that come from a file's content are the client's to mend. */
export function statusOf(code: string): number {
  return STATUS[code] ?? 422;
}

/** Answers what no route took. */
export const noSuchRoute: RequestHandler = request => {
  throw new DermcapError('no-such-route', `There is no ${request.method} ${request.path}.`, {
    hint: 'GET /api/openapi.json lists the routes.',
  });
};

/** Express's last handler: every failure leaves as `ErrorBody`. */
export function errorHandler(log: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    const known = toDermcapError(error);
    if (!known) {
      const id = randomUUID();
      log.error({ id, method: request.method, route: request.path, err: error }, 'request failed');
      if (response.headersSent) return next(error);
      response.status(500).json({
        error: {
          code: 'internal',
          message: `Something went wrong in the server (log entry ${id}).`,
          hint: 'The server’s log tells more.',
        },
      } satisfies ErrorBody);
      return;
    }
    if (response.headersSent) return next(error);
    const { code, message, hint } = known;
    const details = known instanceof InvalidRequest ? known.details : undefined;
    response.status(statusOf(code)).json({
      error: {
        code,
        message,
        ...(hint === undefined ? {} : { hint }),
        ...(details === undefined ? {} : { details }),
      },
    } satisfies ErrorBody);
  };
}

/** Errors of Express's body parser and of URL decoding are the client's; null for what is nobody's. */
function toDermcapError(error: unknown): DermcapError | null {
  if (error instanceof DermcapError) return error;
  const { status, type } = error as { status?: number; type?: string };
  if (type === 'entity.too.large') {
    return new DermcapError('body-too-large', 'The request is larger than 16 MB.', {
      hint: 'Caption fewer images in one run.',
    });
  }
  if (status !== undefined && status >= 400 && status < 500) {
    return new DermcapError('invalid-request', `The request cannot be read: ${(error as Error).message}.`);
  }
  return null;
}

/**
 * Parses a query or body with its schema.
 * @throws DermcapError `invalid-request`, naming each field that is wrong
 */
export function parse<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(input ?? {});
  if (result.success) return result.data;
  const details = result.error.issues
    .slice(0, 20)
    .map(({ path, message }) => ({ field: path.map(String).join('.'), message }));
  const faults = details.slice(0, 5).map(({ field, message }) => `${field || 'request'}: ${message}`);
  throw new InvalidRequest(`The request is not valid. ${faults.join('; ')}.`, details);
}

/** A request that does not fit the contract: `details` has every field that is wrong. */
class InvalidRequest extends DermcapError {
  constructor(
    message: string,
    readonly details: { field: string; message: string }[],
  ) {
    super('invalid-request', message, { hint: 'GET /api/openapi.json describes every field.' });
  }
}

/**
 * A whole number of a path.
 * @throws DermcapError `invalid-request`
 */
export function parseId(text: string): number {
  const id = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(id)) return id;
  throw new InvalidRequest('The address names no number where it should.', [
    { field: 'path', message: 'Expected a whole number of at least 1.' },
  ]);
}
