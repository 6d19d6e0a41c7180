/** What an annotator was told is saved stays saved: through kills, full disks and folders that cannot be written. */
import { execFile, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { RatingResults, type RatingResult } from '@dermcap/kernel-server/contract';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { caption, testStudy } from '../../kernel-server/lib/study/testing.js';
import { Client, type Answer } from './client.js';
import { CLI } from './study.js';

const SERVER = fileURLToPath(new URL('./ratings-server.mjs', import.meta.url));
const STUDY_ID = Buffer.from('my.dermcap').toString('base64url');
const RATINGS = `/studies/${STUDY_ID}/ratings`;
const IMAGES = 40;

let base: string;
/** A study with captions to rate, to be copied. */
let template: string;

beforeAll(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'dermcap-durability-')));
  const files = Object.fromEntries(Array.from({ length: IMAGES }, (_, n) => [`${n}.png`, `image ${n}`]));
  const test = await testStudy(files);
  await test.import(Object.keys(files).map(path => ({ path })));
  for (const path of Object.keys(files)) await caption(test.study, path, { a: `A ${path}`, b: `B ${path}` });
  template = join(base, 'template.dermcap');
  await test.study.backupTo(template);
  await test.remove();
});
afterAll(() => rm(base, { recursive: true }));

const running = new Set<ChildProcess>();
afterEach(() => {
  for (const child of running) child.kill('SIGKILL');
});

interface Place {
  root: string;
  file: string;
  socketPath: string;
  cacheDir: string;
}

async function place(name: string): Promise<Place> {
  const root = join(base, name, 'root');
  await mkdir(root, { recursive: true });
  await mkdir(join(base, name, 's'), { mode: 0o700 });
  const file = join(root, 'my.dermcap');
  await copyFile(template, file);
  return { root, file, socketPath: join(base, name, 's', 's'), cacheDir: join(base, name, 'cache') };
}

/** @param fileBlocks the largest file that it may write, in blocks of 512 bytes */
function serve(
  { root, socketPath, cacheDir }: Place,
  fileBlocks?: number,
  options: SpawnOptions = {},
): ChildProcess {
  const command = [process.execPath, SERVER, root, socketPath, cacheDir];
  const limited =
    fileBlocks === undefined ? command : ['sh', '-c', `ulimit -f ${fileBlocks}; exec "$@"`, 'sh', ...command];
  const child = spawn(limited[0]!, limited.slice(1), { stdio: ['ignore', 'pipe', 'inherit'], ...options });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

interface Event {
  key: string;
  kind: 'create' | 'amend' | 'undo';
  rating?: string;
  [field: string]: unknown;
}

/** Annotators at work: new events from a seeded sequence, sent again until they are acknowledged. */
class Annotator {
  readonly acknowledged = new Map<string, { event: Event; eventId: number }>();
  /** Events that a killed server had stored without being able to say so. */
  duplicates = 0;
  #unsent: Event[] = [];
  #count = 0;

  constructor(readonly name: string) {}

  /** Sends batch after batch until the server is gone. */
  async work(client: Client): Promise<void> {
    for (;;) {
      while (this.#unsent.length < 1 + (this.#count % 4)) this.#unsent.push(this.#next());
      const events = [...this.#unsent];
      let answer: Answer;
      try {
        answer = await client.post(
          RATINGS,
          { events },
          { 'X-DermCap-User': JSON.stringify({ username: this.name }) },
        );
      } catch {
        return;
      }
      expect(answer.status, answer.body.toString()).toBe(200);
      const { results } = RatingResults.parse(answer.json());
      for (const [at, result] of results.entries()) this.#acknowledge(events[at]!, result);
      this.#unsent = [];
    }
  }

  #acknowledge(event: Event, { key, status, eventId, error }: RatingResult): void {
    expect(key).toBe(event.key);
    // Amending what was taken back is refused, before and after a kill alike.
    if (status === 'refused') return void expect(error!.code).toBe('rating-undone');
    if (status === 'duplicate') this.duplicates++;
    this.acknowledged.set(key, { event, eventId: eventId! });
  }

  #next(): Event {
    const n = this.#count++;
    const image = n % IMAGES;
    const timing = { key: `${this.name}-${String(n).padStart(6, '0')}`, clientMs: n, timeSpentMs: 10 };
    const rating = `${this.name}-${String(n - (n % 5)).padStart(6, '0')}`;
    const answer = { preference: ['left', 'right', 'tie'][n % 3], note: `Note ${n}: ${'x'.repeat(n % 200)}` };
    if (n % 5 === 2) return { ...timing, kind: 'amend', rating, answer };
    if (n % 5 === 4) return { ...timing, kind: 'undo', rating };
    if (n % 5 === 3) return { ...timing, kind: 'amend', rating, answer };
    return {
      ...timing,
      kind: 'create',
      of: { leftCaptionId: 2 * image + 1, rightCaptionId: 2 * image + 2 },
      answer,
    };
  }
}

/** Every acknowledged event is in the file as it was sent, none twice, and the file is sound. */
function verify(file: string, annotators: Annotator[]): { events: number } {
  const database = new DatabaseSync(file);
  try {
    expect(database.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }]);
    const rows = database.prepare('SELECT * FROM rating_events ORDER BY id').all() as Record<
      string,
      unknown
    >[];
    const byKey = new Map(rows.map(row => [row['key'], row]));
    expect(byKey.size).toBe(rows.length);
    for (const { name, acknowledged } of annotators) {
      for (const [key, { event, eventId }] of acknowledged) {
        const row = byKey.get(key);
        expect(row, `${key} was acknowledged`).toBeDefined();
        expect(row).toMatchObject({
          id: eventId,
          kind: event.kind,
          annotator: name,
          client_ms: event['clientMs'],
        });
        const note = (event['answer'] as { note: string } | undefined)?.note;
        expect((JSON.parse(row!['answer'] as string) as { note: string } | null)?.note).toBe(note);
      }
    }
    return { events: rows.length };
  } finally {
    database.close();
  }
}

describe('a study under kill -9', () => {
  it('has every acknowledged rating once, after 200 kills at random moments', async () => {
    const lanes = await Promise.all(
      [0, 1].map(async lane => {
        const where = await place(`kill-${lane}`);
        const annotators = ['ana', 'ben', 'eve'].map(name => new Annotator(`${name}-${lane}`));
        let kills = 0;
        for (; kills < 102; kills++) {
          const child = serve(where);
          if (kills % 10 === 9) {
            // While it starts: among the moments are those of opening, recovering and checking the file.
            await new Promise(resolve => setTimeout(resolve, 150 + Math.random() * 250));
            await killed(child);
            continue;
          }
          await once(child.stdout!, 'data');
          const client = new Client(where.socketPath);
          // The first request opens the study: the others' moments lie between the answers that follow.
          if (kills % 5 !== 4) await client.ask(`${RATINGS}?limit=1`);
          const work = annotators.map(annotator => annotator.work(client));
          await new Promise(resolve => setTimeout(resolve, Math.random() * 120));
          await killed(child);
          await Promise.all(work);
        }
        return { kills, annotators, ...verify(where.file, annotators) };
      }),
    );
    const sum = (of: (lane: (typeof lanes)[number]) => number): number =>
      lanes.reduce((all, lane) => all + of(lane), 0);
    const counts = {
      kills: sum(({ kills }) => kills),
      events: sum(({ events }) => events),
      acknowledged: sum(({ annotators }) =>
        annotators.reduce((n, { acknowledged }) => n + acknowledged.size, 0),
      ),
      storedUnacknowledged: sum(({ annotators }) =>
        annotators.reduce((n, { duplicates }) => n + duplicates, 0),
      ),
    };
    console.log(`kill -9: ${JSON.stringify(counts)}`);
    expect(counts.kills).toBeGreaterThanOrEqual(200);
    expect(counts.acknowledged).toBeGreaterThan(500);
  }, 600_000);
});

describe('a study that cannot be written', () => {
  it('says so when a file may not grow any more, keeps what was acknowledged, and goes on when it may again', async () => {
    const where = await place('limit');
    const refused = await fill(where, serve(where, 2048));
    expect(refused.status).toBe(507);
    expect(refused.json().error.message).toMatch(/file cannot be read or written|disk is full/);
    const child = serve(where);
    await once(child.stdout!, 'data');
    const events = [create(999_999)];
    const answer = await new Client(where.socketPath).post(RATINGS, { events });
    expect(answer.json().results).toMatchObject([{ status: 'stored' }]);
    await killed(child);
  });

  it('says that the disk is full, and keeps what was acknowledged', async context => {
    const where = await place('full');
    const mounted = await promisify(execFile)('mount', [
      '-t',
      'tmpfs',
      '-o',
      'size=3m',
      'tmpfs',
      where.root,
    ]).then(
      () => true,
      () => false,
    );
    if (!mounted) return context.skip('No disk of a given size can be made here: mounting is not allowed.');
    try {
      await copyFile(template, where.file);
      const refused = await fill(where, serve(where));
      expect(refused.status).toBe(507);
      expect(refused.json().error).toMatchObject({
        code: 'disk-full',
        message: expect.stringMatching(/disk is full/),
      });
    } finally {
      await promisify(execFile)('umount', [where.root]);
    }
  });

  it('says that its folder is read-only', async () => {
    const where = await place('read-only');
    await chmod(base, 0o755);
    await chmod(where.file, 0o444);
    await chmod(where.root, 0o555);
    // Permissions do not bind root: another user asks.
    const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
    const command = promisify(execFile)(process.execPath, [CLI, 'study', 'info', where.file], user);
    await expect(command).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/cannot be (written|opened)\.\n {2}Check the permissions/),
    });
    await chmod(where.root, 0o755);
  });

  /** Rates until the server refuses to store, checks what it acknowledged, and hands back the refusal. */
  async function fill(where: Place, child: ChildProcess): Promise<Answer> {
    await once(child.stdout!, 'data');
    const client = new Client(where.socketPath);
    const acknowledged: string[] = [];
    let answer: Answer;
    for (let n = 0; ; n++) {
      answer = await client.post(RATINGS, { events: [create(n)] });
      if (answer.status !== 200) break;
      acknowledged.push(key(n));
      if (n > 5000) throw new Error('It never got full.');
    }
    // Reading goes on, and so does the server.
    expect((await client.ask(`${RATINGS}?limit=1`)).status).toBe(200);
    await killed(child);
    const database = new DatabaseSync(where.file);
    expect(database.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }]);
    const rows = database.prepare('SELECT key FROM rating_events').all() as { key: string }[];
    database.close();
    expect(rows.map(row => row.key)).toEqual(acknowledged);
    expect(acknowledged.length).toBeGreaterThan(10);
    return answer;
  }

  const key = (n: number): string => `key-${String(n).padStart(6, '0')}`;
  const create = (n: number): object => ({
    kind: 'create',
    key: key(n),
    clientMs: n,
    of: { leftCaptionId: 1, rightCaptionId: 2 },
    answer: { preference: 'left', note: 'x'.repeat(5000) },
  });
});
