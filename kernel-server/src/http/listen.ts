/**
 * Where the server can be reached: a Unix socket that only its owner can open, or, for development, a port of
 * the loopback interface behind a token.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, mkdir, rm, stat } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect, type AddressInfo, type ListenOptions } from 'node:net';
import { dirname, resolve } from 'node:path';
import type { RequestHandler } from 'express';
import { DermcapError } from '@dermcap/models/errors';

/** `sun_path` of sockaddr_un less its closing NUL: 108 bytes on Linux, 104 on macOS. */
const MAX_SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107;

/**
 * Makes sure that a socket can be put at `path` and that nobody else could open it.
 * @returns the absolute path
 * @throws DermcapError `socket-path-too-long`, `socket-folder-open` or `socket-in-use`
 */
export async function prepareSocket(path: string): Promise<string> {
  const socketPath = resolve(path);
  if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH_BYTES) {
    throw new DermcapError(
      'socket-path-too-long',
      `The socket path ${socketPath} is too long for the system.`,
      {
        hint: `Choose one of at most ${MAX_SOCKET_PATH_BYTES} bytes.`,
      },
    );
  }
  const folder = dirname(socketPath);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(folder);
  if ((mode & 0o077) !== 0 || uid !== process.getuid?.()) {
    throw new DermcapError('socket-folder-open', `Others can reach the folder of the socket, ${folder}.`, {
      hint: 'Use a folder of your own with mode 0700.',
    });
  }
  if (await answers(socketPath)) {
    throw new DermcapError('socket-in-use', `Another server already listens on ${socketPath}.`);
  }
  await removeStaleSocket(socketPath);
  return socketPath;
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function removeStaleSocket(socketPath: string): Promise<void> {
  const left = await stat(socketPath).catch(() => null);
  if (!left) return;
  if (!left.isSocket()) {
    throw new DermcapError('socket-in-use', `${socketPath} exists and is not a socket.`);
  }
  await rm(socketPath);
}

/** Listens on a prepared socket path; the socket gets mode 0600. */
export async function listenOnSocket(server: Server, socketPath: string): Promise<void> {
  const umask = process.umask(0o177);
  try {
    await listen(server, { path: socketPath });
  } finally {
    process.umask(umask);
  }
  await chmod(socketPath, 0o600);
}

/**
 * Listens on 127.0.0.1.
 * @param port 0 for any free one
 * @returns the port
 */
export async function listenOnLoopback(server: Server, port: number): Promise<number> {
  await listen(server, { host: '127.0.0.1', port });
  return (server.address() as AddressInfo).port;
}

function listen(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** A token no one guesses, for a port that any process of the machine can reach. */
export function newToken(): string {
  return randomBytes(24).toString('base64url');
}

/** Lets in requests with `Authorization: Bearer <token>`; everything when there is no token (Unix socket). */
export function bearerGuard(token: string | null): RequestHandler {
  return (request, _response, next) => {
    if (token === null) return next();
    const given = Buffer.from(request.get('Authorization') ?? '');
    const wanted = Buffer.from(`Bearer ${token}`);
    if (given.length === wanted.length && timingSafeEqual(given, wanted)) return next();
    throw new DermcapError('not-signed-in', 'This server wants its token with every request.', {
      hint: 'Send “Authorization: Bearer …” with the token printed at start.',
    });
  };
}
