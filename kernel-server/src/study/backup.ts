/** Copies of a study, made while it is in use. */
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { DermcapError } from '@dermcap/models/errors';
import { storeError } from './failures.js';

/**
 * Copies a database, under the name of the copy only when that is whole and on the disk.
 * @throws DermcapError `study-exists`, `disk-full`, `study-read-only`
 */
export async function copyTo(database: DatabaseSync, target: string): Promise<void> {
  const path = resolve(target);
  if (await stat(path).catch(() => null)) {
    throw new DermcapError('study-exists', `“${basename(path)}” exists already.`, {
      hint: 'Choose another name for the copy.',
    });
  }
  const temporary = `${path}.part`;
  try {
    await rm(temporary, { force: true });
    await backup(database, temporary);
    const handle = await open(temporary, 'r+');
    await handle.sync().finally(() => handle.close());
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw storeError(error);
  }
}

/**
 * Copies a study whether or not another program has it open, but for one on a network file system that is open.
 * @throws DermcapError `no-such-study`, `study-busy`, or as {@link copyTo} does
 */
export async function backupStudy(file: string, target: string): Promise<void> {
  const path = resolve(file);
  if (!(await stat(path).catch(() => null))) {
    throw new DermcapError('no-such-study', `There is no study “${basename(path)}”.`);
  }
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
    await copyTo(database, target);
  } catch (error) {
    throw storeError(error);
  } finally {
    database?.close();
  }
}
