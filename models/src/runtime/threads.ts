import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/**
 * How many threads onnxruntime gets: one for each physical core that this process may use. A second thread on a core
 * shares its arithmetic units and adds nothing to products of matrices; one beyond a container's quota is put to
 * sleep in the middle of a product, for which the others then wait (docs/gpu.md, “Threads”).
 */
export function defaultThreads(system: ProcessorView = linuxView()): number {
  const allowed = system.allowed.length || availableParallelism();
  const cores = new Set(system.allowed.map(cpu => system.coreOf(cpu) ?? `${cpu}`)).size || allowed;
  const quota = Math.max(1, Math.floor(system.quota));
  return Math.max(1, Math.min(cores, quota, Math.max(allowed, 1)));
}

/** What is known of the machine's processors. */
export interface ProcessorView {
  /** Numbers of the logical processors that this process may run on; empty where the system does not say. */
  allowed: readonly number[];
  /** A name of the physical core a logical processor belongs to. */
  coreOf: (cpu: number) => string | undefined;
  /** Processors' worth of time that a container may use; Infinity without a limit. */
  quota: number;
}

/** From /proc, /sys and the control groups; empty and unlimited on other systems. */
function linuxView(): ProcessorView {
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(read('/proc/self/status') ?? '')?.[1];
  return {
    allowed: allowed === undefined ? [] : cpuList(allowed),
    coreOf: cpu => read(`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`),
    quota: cgroupQuota(read('/proc/self/cgroup') ?? '', read),
  };
}

/** `0-3,8` → 0, 1, 2, 3, 8 (the format of cpuset(7)). */
export function cpuList(text: string): number[] {
  return text.split(',').flatMap(range => {
    const [from, to = from] = range.split('-').map(Number) as [number, number?];
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

/**
 * The tightest limit on the way from this process's control group up to the root, in processors: version 2's
 * `cpu.max` ("quota period" or "max period"), version 1's `cpu.cfs_quota_us` (−1: none) and `cpu.cfs_period_us`.
 * @param membership the text of /proc/self/cgroup: lines `id:controllers:path` (cgroups(7))
 */
export function cgroupQuota(membership: string, readFile: (path: string) => string | undefined): number {
  let tightest = Infinity;
  for (const line of membership.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    const isSecond = controllers === '';
    if (!isSecond && !controllers!.split(',').includes('cpu')) continue;
    const parts = path.split('/').filter(Boolean);
    // Within a container the path is the host's, or the files lie at the root: ask everywhere on the way up.
    for (let depth = parts.length; depth >= 0; depth--) {
      const folder = ['/sys/fs/cgroup', ...(isSecond ? [] : ['cpu']), ...parts.slice(0, depth)].join('/');
      const [quota, period] = isSecond
        ? (readFile(`${folder}/cpu.max`)?.split(/\s+/) ?? [])
        : [readFile(`${folder}/cpu.cfs_quota_us`), readFile(`${folder}/cpu.cfs_period_us`)];
      const processors = Number(quota) / Number(period);
      if (processors > 0) tightest = Math.min(tightest, processors);
    }
  }
  return tightest;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
