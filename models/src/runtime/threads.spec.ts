import { describe, expect, it } from 'vitest';
import { cgroupQuota, cpuList, defaultThreads } from './threads.js';

const siblings = (cpu: number) => `${cpu % 4},${(cpu % 4) + 4}`;

describe('defaultThreads', () => {
  it('counts a core once however many threads it has', () => {
    expect(defaultThreads({ allowed: [0, 1, 2, 3, 4, 5, 6, 7], coreOf: siblings, quota: Infinity })).toBe(4);
  });

  it('counts the cores that the process may use', () => {
    expect(defaultThreads({ allowed: [0, 4, 5], coreOf: siblings, quota: Infinity })).toBe(2);
  });

  it("stays within a container's quota", () => {
    const allowed = [0, 1, 2, 3];
    expect(defaultThreads({ allowed, coreOf: () => undefined, quota: 2.5 })).toBe(2);
    expect(defaultThreads({ allowed, coreOf: () => undefined, quota: 0.5 })).toBe(1);
  });

  it('gives at least one thread, whatever this machine is', () => {
    expect(defaultThreads()).toBeGreaterThanOrEqual(1);
    expect(defaultThreads({ allowed: [], coreOf: () => undefined, quota: Infinity })).toBeGreaterThanOrEqual(
      1,
    );
  });
});

describe('cgroupQuota', () => {
  const files = (content: Record<string, string>) => (path: string) => content[path];

  it('takes the tightest limit on the way up (version 2)', () => {
    const read = files({
      '/sys/fs/cgroup/hub/user/cpu.max': 'max 100000',
      '/sys/fs/cgroup/hub/cpu.max': '150000 100000',
    });
    expect(cgroupQuota('0::/hub/user', read)).toBe(1.5);
  });

  it('finds the limit of a container that sees its own group at the root', () => {
    expect(cgroupQuota('0::/', files({ '/sys/fs/cgroup/cpu.max': '400000 100000' }))).toBe(4);
  });

  it('reads version 1', () => {
    const read = files({
      '/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us': '200000',
      '/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us': '100000',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
    });
    expect(cgroupQuota('4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc', read)).toBe(2);
  });

  it('is unlimited where nothing is said', () => {
    expect(cgroupQuota('', files({}))).toBe(Infinity);
  });
});

describe('cpuList', () => {
  it('reads single numbers and ranges', () => {
    expect(cpuList('0-2,8')).toEqual([0, 1, 2, 8]);
    expect(cpuList('5')).toEqual([5]);
  });
});
