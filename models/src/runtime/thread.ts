/**
 * Calls across a worker thread: structured messages `{id, method, args}` one way, a result, an error or
 * progress the other way. A `DermcapError` arrives as a `DermcapError` with its code, sentence and hint.
 */
import { Worker, type MessagePort, type Transferable } from 'node:worker_threads';
import { DermcapError } from '../errors.js';

interface Call {
  id: number;
  method: string;
  args: unknown[];
}

interface CarriedError {
  code: string;
  message: string;
  hint?: string;
}

/** Asks the thread to end when the calls it has begun are done. */
const END = 'end';

type Reply =
  { id: number; progress: unknown } | { id: number; error: CarriedError } | { id: number; result: unknown };

/** Methods a worker thread offers. `progress` tells the caller how far the call is while it goes on. */
export type ThreadMethods = Record<
  string,
  (args: unknown[], progress: (value: unknown) => void) => Promise<unknown>
>;

/** Error code of calls to a thread that has ended. */
export const WORKER_STOPPED = 'worker-stopped';

/**
 * Answers calls on `port` with `methods`, in the worker thread. Calls may overlap; ordering is the methods'
 * own business. Buffers of `Float32Array`s in a result are moved, not copied. When the other side ends the
 * thread, the port is closed after the calls in progress.
 */
export function serveThread(port: MessagePort, methods: ThreadMethods): void {
  const inProgress = new Set<Promise<void>>();
  port.on('message', (message: Call | typeof END) => {
    if (message === END) {
      void Promise.all(inProgress).then(() => port.close());
      return;
    }
    const answering = answer(port, methods, message).finally(() => inProgress.delete(answering));
    inProgress.add(answering);
  });
}

async function answer(port: MessagePort, methods: ThreadMethods, { id, method, args }: Call): Promise<void> {
  try {
    const run = methods[method];
    if (!run) throw new DermcapError('unknown-method', `The worker thread has no method “${method}”.`);
    const result = await run(args, progress => port.postMessage({ id, progress } satisfies Reply));
    port.postMessage({ id, result } satisfies Reply, ownBuffers(result));
  } catch (error) {
    port.postMessage({ id, error: carry(error) } satisfies Reply);
  }
}

/** Buffers that the arrays of a result fill completely: these can change hands without a copy. */
function ownBuffers(value: unknown): Transferable[] {
  const arrays = Array.isArray(value) ? value : [value];
  const buffers = new Set<ArrayBuffer>();
  for (const array of arrays) {
    if (!(array instanceof Float32Array) || !(array.buffer instanceof ArrayBuffer)) continue;
    if (array.byteLength === array.buffer.byteLength) buffers.add(array.buffer);
  }
  return [...buffers];
}

function carry(error: unknown): CarriedError {
  if (error instanceof DermcapError) {
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    };
  }
  return { code: 'model-failed', message: error instanceof Error ? error.message : String(error) };
}

interface Waiting {
  resolve: (value: never) => void;
  reject: (error: Error) => void;
  progress: ((value: never) => void) | undefined;
}

/** The calling side of a worker thread that runs {@link serveThread}. */
export class Thread {
  readonly #worker: Worker;
  readonly #name: string;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #stopped: DermcapError | null = null;
  /** Resolves once the thread has ended, however it ended. */
  readonly exited: Promise<void>;

  /**
   * @param name what the thread is in a sentence, such as “model worker”
   * @param workerData what the script finds as its `workerData`
   */
  constructor(script: string | URL, name: string, workerData?: unknown) {
    this.#name = name;
    this.#worker = new Worker(script, { name, workerData });
    this.#worker.on('message', (reply: Reply) => this.#receive(reply));
    let cause: Error | undefined;
    this.#worker.on('error', (error: Error) => {
      cause = error;
    });
    this.exited = new Promise(resolve => {
      this.#worker.on('exit', exitCode => {
        this.#stop(cause ? cause.message : `exit code ${exitCode}`, cause);
        resolve();
      });
    });
    // An idle thread does not keep a finished program alive; a call in progress does.
    this.#worker.unref();
  }

  /**
   * Calls a method in the thread. Arguments are copied, so the caller keeps its arrays.
   * @throws DermcapError as thrown by the method, or `worker-stopped` when the thread ended before it answered
   */
  call<Result, Progress = string>(
    method: string,
    args: unknown[],
    progress?: (value: Progress) => void,
  ): Promise<Result> {
    if (this.#stopped) return Promise.reject(this.#stopped);
    return new Promise<Result>((resolve, reject) => {
      const id = this.#nextId++;
      this.#waiting.set(id, { resolve, reject, progress });
      this.#worker.ref();
      try {
        this.#worker.postMessage({ id, method, args } satisfies Call);
      } catch (error) {
        this.#settle(id);
        reject(error as Error);
      }
    });
  }

  /**
   * Ends the thread: calls that still wait reject at once, the thread goes when those it has begun are done.
   * `Worker.terminate` would be quicker, and wrong: to end a thread within a native call of onnxruntime aborts
   * the whole process (`terminate called after throwing an instance of 'Napi::Error'`).
   */
  async end(): Promise<void> {
    if (!this.#stopped) {
      this.#stop('it was told to');
      this.#worker.ref();
      this.#worker.postMessage(END);
    }
    await this.exited;
  }

  #receive(reply: Reply): void {
    if ('progress' in reply) {
      this.#waiting.get(reply.id)?.progress?.(reply.progress as never);
      return;
    }
    const waiting = this.#settle(reply.id);
    if (!waiting) return;
    if ('error' in reply) {
      const { code, message, hint } = reply.error;
      waiting.reject(new DermcapError(code, message, hint === undefined ? {} : { hint }));
    } else {
      waiting.resolve(reply.result as never);
    }
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0 && !this.#stopped) this.#worker.unref();
    return waiting;
  }

  #stop(reason: string, cause?: Error): void {
    if (this.#stopped) return;
    this.#stopped = new DermcapError(WORKER_STOPPED, `The ${this.#name} stopped (${reason}).`, {
      hint: 'Start the run again: a new worker is started for it. If this repeats, memory may be short.',
      cause,
    });
    for (const waiting of this.#waiting.values()) waiting.reject(this.#stopped);
    this.#waiting.clear();
  }
}
