import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listenOnSocket, prepareSocket } from './listen.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-listen-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('prepareSocket', () => {
  it('makes a folder that only its owner can enter, and a socket that only its owner can open', async () => {
    const path = await prepareSocket(join(folder, 'run', 'dermcap.sock'));
    expect((await stat(join(folder, 'run'))).mode & 0o777).toBe(0o700);
    const server = createServer();
    await listenOnSocket(server, path);
    try {
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      await expect(prepareSocket(path)).rejects.toMatchObject({ code: 'socket-in-use' });
    } finally {
      server.close();
    }
  });

  it.each([0o750, 0o701, 0o770])('refuses a folder of mode %o', async mode => {
    const open = join(folder, 'open');
    await mkdir(open);
    await chmod(open, mode);
    await expect(prepareSocket(join(open, 's'))).rejects.toMatchObject({ code: 'socket-folder-open' });
  });

  it('leaves a file that is no socket alone', async () => {
    await writeFile(join(folder, 'notes'), 'mine');
    await expect(prepareSocket(join(folder, 'notes'))).rejects.toMatchObject({ code: 'socket-in-use' });
    expect((await stat(join(folder, 'notes'))).size).toBe(4);
  });

  it('says when the path is too long for a socket', async () => {
    await expect(prepareSocket(join(folder, 'x'.repeat(120)))).rejects.toMatchObject({
      code: 'socket-path-too-long',
    });
  });
});
