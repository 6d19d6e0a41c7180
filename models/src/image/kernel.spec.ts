import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { kernelWith } from './kernel.js';

it('is what its source compiles to (else: npm run kernel -w @dermcap/models)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dermcap-kernel-'));
  try {
    const target = join(folder, 'resampleKernel.ts');
    execFileSync(process.execPath, [join(import.meta.dirname, '../../assembly/compile.mjs'), target]);
    const committed = readFileSync(join(import.meta.dirname, 'resampleKernel.ts'), 'utf8');
    expect(committed).toBe(readFileSync(target, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('is kept with its memory, unless that had to become large', () => {
  const small = kernelWith(1e6);
  expect(small.memory.buffer.byteLength).toBeGreaterThanOrEqual(1e6);
  const large = kernelWith(70e6);
  expect(large).toBe(small);
  expect(large.memory.buffer.byteLength).toBeGreaterThanOrEqual(70e6);
  expect(kernelWith(1e6)).not.toBe(large);
  expect(kernelWith(1e6)).toBe(kernelWith(2e6));
});
