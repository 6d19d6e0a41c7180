/** A process that answers lines of JSON, watched for its memory. */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

const SAMPLE_MS = 25;

export class Asked {
  #child;
  #lines;
  #exit;

  constructor(command, args, env = {}) {
    this.#child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#exit = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('exit', resolve);
    });
    // Reported by the call that waits for the answer.
    this.#exit.catch(() => undefined);
    this.#child.stdin.on('error', () => undefined);
  }

  /**
   * @returns the answer, and the peak of memory while it was worked out (null where /proc does not tell)
   * @throws Error when the process reports one, or ends
   */
  async ask(request) {
    const { pid } = this.#child;
    await resetPeak(pid);
    const sampler = sampleMemory(pid);
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    try {
      const { value, done } = await this.#lines.next();
      if (done)
        throw new Error(`The process ended (${await this.#exit}) instead of answering “${request.do}”.`);
      const answer = JSON.parse(value);
      if (answer.error !== undefined) throw new Error(answer.error);
      return { ...answer, memory: await sampler.stop() };
    } finally {
      await sampler.stop();
    }
  }

  async end() {
    this.#child.stdin.end();
    await this.#exit.catch(() => undefined);
  }
}

/** Starts the kernel's record of the peak (VmHWM) anew: `man 5 proc`, clear_refs. */
function resetPeak(pid) {
  return writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => undefined);
}

/**
 * Peaks in bytes: `resident` as the kernel recorded it; of that, in samples, `anonymous` (the process's own) and
 * `mapped` (pages of files, which the kernel may drop and read again).
 */
function sampleMemory(pid) {
  let peaks = null;
  const look = async () => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const bytes = field => 1024 * Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    if (status === '') return;
    peaks = {
      resident: bytes('VmHWM'),
      anonymous: Math.max(peaks?.anonymous ?? 0, bytes('RssAnon')),
      mapped: Math.max(peaks?.mapped ?? 0, bytes('RssFile')),
    };
  };
  const timer = setInterval(look, SAMPLE_MS);
  return {
    async stop() {
      clearInterval(timer);
      await look();
      return peaks;
    },
  };
}

/** stdout of a program that runs to its end. Its stderr is ours. */
export async function output(command, args, env = {}) {
  const child = spawn(command, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', data => (text += data));
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code !== 0) throw new Error(`${args[0]} ended with ${code}.`);
  return text;
}
