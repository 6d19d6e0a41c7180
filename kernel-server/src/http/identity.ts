/**
 * Who is asking. The proxy in front passes the Jupyter identity on as URI-encoded JSON; only it can reach the
 * socket, so the header is taken at its word.
 */
import type { Request } from 'express';

export interface User {
  /** Jupyter's user name; `anonymous` when no identity came along. */
  username: string;
  displayName: string;
}

const ANONYMOUS: User = { username: 'anonymous', displayName: 'Anonymous' };
const MAX_NAME_LENGTH = 200;

/** The user named by `X-DermCap-User`; anonymous when the header is absent or cannot be read. */
export function userOf(request: Pick<Request, 'get'>): User {
  const header = request.get('X-DermCap-User');
  if (!header) return ANONYMOUS;
  try {
    const identity = JSON.parse(decodeURIComponent(header)) as Record<string, unknown> | null;
    const username = text(identity?.['username']) ?? text(identity?.['name']);
    if (username === null) return ANONYMOUS;
    return { username, displayName: text(identity?.['display_name']) ?? username };
  } catch {
    return ANONYMOUS;
  }
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value.slice(0, MAX_NAME_LENGTH) : null;
}
