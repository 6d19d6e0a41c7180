import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockPath } from './lock.js';
import { migrate, SCHEMA_VERSION, schemaVersion } from './migrations.js';
import { openStudy, requireSqlite, type OpenStudyOptions, type StudyFile } from './open.js';

let folder: string;
let file: string;
const opened: StudyFile[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-study-'));
  file = join(folder, 'my.dermcap');
});
afterEach(async () => {
  for (const study of opened.splice(0)) await study.close();
  await chmod(folder, 0o700);
  await rm(folder, { recursive: true });
});

async function open(options: OpenStudyOptions = {}): Promise<StudyFile> {
  const study = await openStudy(file, options);
  opened.push(study);
  return study;
}

/** A study as version `n` of the program left it, with one image. */
function writeVersion(n: number): void {
  const database = new DatabaseSync(file);
  migrate(database, n);
  database.exec(`INSERT INTO images (path, state, added_ms, updated_ms) VALUES ('a.png', 'ok', 1, 1)`);
  database.close();
}

describe('openStudy', () => {
  it('makes a study that it opens again, on a local disk with a synchronous write-ahead log', async () => {
    const study = await open({ create: true, env: { DERMCAP_STUDY_JOURNAL: 'wal' } });
    expect(study.storage).toEqual({ journal: 'wal', network: null });
    await study.db.insertInto('settings').values({ key: 'title', value: '"Naevi"' }).execute();
    expect((await readdir(folder)).includes('my.dermcap-wal')).toBe(true);
    await study.close();
    const again = await open();
    expect(await again.db.selectFrom('settings').selectAll().execute()).toEqual([
      { key: 'title', value: '"Naevi"' },
    ]);
    expect(again.check()).toEqual([]);
    expect(again.backup).toBe(null);
  });

  it('keeps no write-ahead log on a network file system, and lets no other program in', async () => {
    const study = await open({ create: true, env: { DERMCAP_STUDY_JOURNAL: 'delete' } });
    expect(study.storage.journal).toBe('delete');
    await study.db.insertInto('settings').values({ key: 'title', value: '"Naevi"' }).execute();
    expect((await readdir(folder)).filter(name => /-(wal|shm)$/.test(name))).toEqual([]);
    const other = new DatabaseSync(file, { readOnly: true });
    expect(() => other.prepare('SELECT * FROM settings').all()).toThrow(/locked/);
    other.close();
    await study.close();
    expect((await open({ env: { DERMCAP_STUDY_JOURNAL: 'wal' } })).storage.journal).toBe('wal');
  });

  it('says where a study is open already, and opens it once that program has gone, however it went', async () => {
    await (await open({ create: true })).close();
    const script = `
      import { openStudy } from ${JSON.stringify(new URL('../../lib/study/open.js', import.meta.url).href)};
      await openStudy(process.argv[1], { url: 'http://hub/user/ana' });
      console.log('open');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout!, 'data');
    await expect(open()).rejects.toMatchObject({
      code: 'study-in-use',
      message: expect.stringMatching(/“my.dermcap” is open in http:\/\/hub\/user\/ana on this computer/),
    });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect((await open()).check()).toEqual([]);
  });

  it('refuses a study that this very process has open', async () => {
    await open({ create: true, url: 'http://here' });
    await expect(open()).rejects.toMatchObject({ code: 'study-in-use' });
  });

  it.each(Array.from({ length: SCHEMA_VERSION - 1 }, (_, n) => n + 1))(
    'brings a study of version %i up to date, after a backup that is the old study',
    async version => {
      writeVersion(version);
      const study = await open();
      expect(await study.db.selectFrom('images').select('path').execute()).toEqual([{ path: 'a.png' }]);
      expect(study.check()).toEqual([]);
      expect(study.backup).toBe(join(folder, `my.before-v${SCHEMA_VERSION}.dermcap`));
      const old = new DatabaseSync(study.backup!, { readOnly: true });
      expect(schemaVersion(old)).toBe(version);
      expect(old.prepare('SELECT path FROM images').all()).toEqual([{ path: 'a.png' }]);
      old.close();
      const tables = await study.db.introspection.getTables();
      expect(tables.map(({ name }) => name)).toContain('saved_views');
    },
  );

  it('keeps an earlier backup beside the new one', async () => {
    writeVersion(1);
    await writeFile(join(folder, `my.before-v${SCHEMA_VERSION}.dermcap`), 'kept');
    expect((await open()).backup).toMatch(/-2\.dermcap$/);
  });

  it('refuses the file of a newer program and leaves it as it is', async () => {
    await (await open({ create: true })).close();
    const database = new DatabaseSync(file);
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    database.close();
    const before = await readFile(file);
    await expect(open()).rejects.toMatchObject({
      code: 'study-newer',
      message: expect.stringContaining('written by a newer DermCap'),
    });
    expect(await readFile(file)).toEqual(before);
  });

  it('refuses what is no study', async () => {
    await expect(open()).rejects.toMatchObject({ code: 'no-such-study' });
    await expect(openStudy(join(folder, 'my.sqlite'))).rejects.toMatchObject({ code: 'not-a-study' });
    await expect(openStudy(join(folder, 'no', 'my.dermcap'))).rejects.toMatchObject({
      code: 'no-such-folder',
    });
    await writeFile(file, '');
    await expect(open()).rejects.toMatchObject({ code: 'not-a-study', hint: 'It is empty.' });
    await writeFile(file, 'path,caption\n'.repeat(20));
    await expect(open()).rejects.toMatchObject({ code: 'not-a-study' });
    await rm(file);
    const database = new DatabaseSync(file);
    database.exec('CREATE TABLE t (x)');
    database.close();
    await expect(open()).rejects.toMatchObject({ code: 'not-a-study' });
    await expect(open({ create: true })).rejects.toMatchObject({ code: 'study-exists' });
  });

  it('says that a study cut short is damaged', async () => {
    const study = await open({ create: true });
    await study.close();
    await truncate(file, 8192);
    const error = await openStudy(file).then(
      async damaged => {
        const found = damaged.check();
        await damaged.close();
        return found;
      },
      (reason: { code: string }) => reason.code,
    );
    expect(error).not.toEqual([]);
  });

  it('looks for damage after a crash', async () => {
    const study = await open({ create: true });
    const values = Array.from({ length: 300 }, (_, n) => ({
      key: `key ${n}`,
      value: `"${'x'.repeat(900)}"`,
    }));
    await study.db.insertInto('settings').values(values).execute();
    await study.close();
    const { size } = await stat(file);
    const bytes = await readFile(file);
    bytes.fill(0x5a, size - 8192);
    await writeFile(file, bytes);
    const lock = new DatabaseSync(lockPath(file));
    lock.exec('UPDATE owner SET closed = 0');
    lock.close();
    await expect(open()).rejects.toMatchObject({ code: 'study-damaged' });
  });

  it.skipIf(process.getuid?.() === 0)('says that a folder is read-only', async () => {
    await (await open({ create: true })).close();
    await chmod(folder, 0o500);
    await expect(open()).rejects.toMatchObject({ code: 'study-read-only' });
  });

  it('copies a study in use', async () => {
    const study = await open({ create: true });
    await study.db.insertInto('settings').values({ key: 'title', value: '"Naevi"' }).execute();
    const copy = join(folder, 'copy.dermcap');
    await study.backupTo(copy);
    await expect(study.backupTo(copy)).rejects.toMatchObject({ code: 'study-exists' });
    const restored = await openStudy(copy);
    expect(await restored.db.selectFrom('settings').select('value').execute()).toEqual([
      { value: '"Naevi"' },
    ]);
    await restored.close();
  });
});

describe('a transaction', () => {
  it('is undone as a whole, and what comes after it waits for it', async () => {
    const { db } = await open({ create: true });
    const failing = db.transaction().execute(async transaction => {
      await transaction.insertInto('settings').values({ key: 'a', value: '1' }).execute();
      await new Promise(resolve => setTimeout(resolve, 20));
      throw new Error('no');
    });
    const after = db.insertInto('settings').values({ key: 'b', value: '2' }).execute();
    await expect(failing).rejects.toThrow('no');
    await after;
    expect(await db.selectFrom('settings').select('key').execute()).toEqual([{ key: 'b' }]);
  });
});

describe('requireSqlite', () => {
  it.each(['3.51.3', '3.51.10', '3.53.0', '4.0.0'])('takes %s', version => {
    expect(() => requireSqlite(version)).not.toThrow();
  });
  it.each(['3.51.2', '3.46.1', '3.51', undefined])('refuses %s', version => {
    expect(() => requireSqlite(version)).toThrow(expect.objectContaining({ code: 'sqlite-too-old' }));
  });
});
