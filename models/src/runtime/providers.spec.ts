import { describe, expect, it } from 'vitest';
import type { ProbeResult } from './probe.js';
import { chooseProvider } from './providers.js';
import type { Machine } from './providers.js';

const machine = (
  has: Partial<Machine>,
  results: Partial<Record<'webgpu' | 'cuda', ProbeResult>> = {},
): Machine => ({
  hasCudaLibrary: false,
  hasGraphicsDevice: false,
  ...has,
  probe: async provider => results[provider] ?? { failure: 'not expected to be tried' },
});
const GPU = { hasCudaLibrary: true, hasGraphicsDevice: true };

describe('chooseProvider', () => {
  it('takes the CPU where there is nothing else, and says what is missing', async () => {
    const { name, reason } = await chooseProvider('auto', undefined, machine({}));
    expect(name).toBe('cpu');
    expect(reason).toMatch(/CUDA: its libraries are not installed/);
    expect(reason).toMatch(/WebGPU: this machine has no graphics device/);
  });

  it('prefers CUDA, on the device asked for', async () => {
    const both = machine(GPU, { cuda: { speedup: 20 }, webgpu: { speedup: 20 } });
    expect(await chooseProvider('auto', 1, both)).toMatchObject({ name: 'cuda', device: 1 });
  });

  it('takes WebGPU where CUDA fails, and says why it failed', async () => {
    const results = { cuda: { failure: 'libcudart.so.12 is missing' }, webgpu: { speedup: 6.2 } };
    const { name, reason } = await chooseProvider('auto', undefined, machine(GPU, results));
    expect(name).toBe('webgpu');
    expect(reason).toMatch(/6\.2 ×.*CUDA: libcudart\.so\.12 is missing/);
  });

  it('leaves a WebGPU device that is no faster than the processor', async () => {
    const software = machine({ hasGraphicsDevice: true }, { webgpu: { speedup: 0.1 } });
    const { name, reason } = await chooseProvider('auto', undefined, software);
    expect(name).toBe('cpu');
    expect(reason).toMatch(/WebGPU: only 0\.1 ×/);
  });

  it('does not leave a device that was asked for in silence', async () => {
    await expect(chooseProvider('auto', 0, machine({}))).rejects.toMatchObject({
      code: 'provider-unavailable',
    });
    await expect(chooseProvider('webgpu', 1, machine({}))).rejects.toThrow(/only be chosen with CUDA/);
    await expect(chooseProvider('cpu', 1, machine({}))).rejects.toThrow(/only be chosen with CUDA/);
  });

  it('takes what is asked for by name without trying it', async () => {
    expect(await chooseProvider('webgpu', undefined, machine({}))).toMatchObject({ name: 'webgpu' });
    expect(await chooseProvider('cuda', 2, machine({}))).toMatchObject({ name: 'cuda', device: 2 });
  });
});
