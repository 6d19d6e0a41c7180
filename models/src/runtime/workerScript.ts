import { createRequire } from 'node:module';

/** Entry of the worker threads. The built file: Node itself starts it, also when the caller runs from source. */
export function workerScript(): string {
  return createRequire(import.meta.url).resolve('@dermcap/models/worker');
}
