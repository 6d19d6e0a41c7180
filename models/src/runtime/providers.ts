/**
 * Where a model runs: CUDA, WebGPU or the CPU, and why.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { DermcapError } from '../errors.js';
import type { ProbeResult } from './probe.js';

export type ProviderName = 'cpu' | 'webgpu' | 'cuda';

/** `auto`: CUDA where it works, else WebGPU where it is worth it, else the CPU. */
export type ProviderChoice = 'auto' | ProviderName;

export interface Provider {
  name: ProviderName;
  /** Why this one, in words; where a faster one was tried, why it was not taken. */
  reason: string;
  /** Which CUDA device, counted from 0. */
  device?: number | undefined;
}

/**
 * A GPU pays only when it is clearly faster at products of the size that decoding multiplies: at every step the
 * search's bookkeeping waits for it. A software device is slower than the CPU and fails this by itself.
 */
const WORTH_IT = 2;

/** Starting a driver takes a second or two; one that hangs is not waited for. */
const PROBE_TIMEOUT_MS = 60_000;

/** Tries a provider on this machine. */
export type Probe = (provider: 'webgpu' | 'cuda', device: number) => Promise<ProbeResult>;

/** What of the machine decides, so that every outcome can be tested. */
export interface Machine {
  /** Whether onnxruntime's CUDA provider is installed. */
  hasCudaLibrary: boolean;
  /** Whether the system has a graphics device at all (Linux; elsewhere always true). */
  hasGraphicsDevice: boolean;
  probe: Probe;
}

/**
 * Chooses the execution provider.
 * @param device the CUDA device, counted from 0; only with CUDA: onnxruntime gives no choice of WebGPU adapters
 * @throws DermcapError `provider-unavailable` when a device is asked for that the chosen provider cannot choose
 */
export async function chooseProvider(
  choice: ProviderChoice,
  device?: number,
  machine: Machine = thisMachine(),
): Promise<Provider> {
  if (choice !== 'auto') {
    if (device !== undefined && choice !== 'cuda')
      throw new DermcapError(
        'provider-unavailable',
        `A device can only be chosen with CUDA, not with the ${choice} provider.`,
        { hint: 'docs/gpu.md says how to choose the graphics card that WebGPU uses.' },
      );
    return { name: choice, reason: 'asked for by name', ...(choice === 'cuda' ? { device } : {}) };
  }
  const refusals: string[] = [];
  if (!machine.hasCudaLibrary) refusals.push('CUDA: its libraries are not installed (docs/gpu.md)');
  else {
    const tried = await machine.probe('cuda', device ?? 0);
    if ('speedup' in tried)
      return {
        name: 'cuda',
        reason: `chosen automatically: CUDA device ${device ?? 0} works, ${times(tried)} the processor's speed`,
        device,
      };
    refusals.push(`CUDA: ${tried.failure}`);
  }
  if (device !== undefined)
    throw new DermcapError(
      'provider-unavailable',
      `CUDA device ${device} was asked for, but cannot be used. ${refusals[0]}.`,
      { hint: 'Leave the device out to let DermCap choose.' },
    );
  if (!machine.hasGraphicsDevice) refusals.push('WebGPU: this machine has no graphics device');
  else {
    const tried = await machine.probe('webgpu', 0);
    if ('speedup' in tried && tried.speedup >= WORTH_IT)
      return {
        name: 'webgpu',
        reason: `chosen automatically: ${times(tried)} the processor's speed. Not taken: ${refusals.join('; ')}`,
      };
    refusals.push(
      'speedup' in tried
        ? `WebGPU: only ${times(tried)} the processor's speed, or a device in software`
        : `WebGPU: ${tried.failure}`,
    );
  }
  return { name: 'cpu', reason: `chosen automatically. Not taken: ${refusals.join('; ')}` };
}

function times({ speedup }: { speedup: number }): string {
  return `${speedup.toFixed(speedup < 10 ? 1 : 0)} ×`;
}

function thisMachine(): Machine {
  return {
    hasCudaLibrary: cudaLibrary() !== null,
    hasGraphicsDevice: process.platform !== 'linux' || hasDeviceNode(),
    probe: probeInProcess,
  };
}

/** onnxruntime's CUDA provider, which its package does not bring along but fetches. */
function cudaLibrary(): string | null {
  const folder = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const name =
    process.platform === 'win32' ? 'onnxruntime_providers_cuda.dll' : 'libonnxruntime_providers_cuda.so';
  const file = join(folder, 'bin', 'napi-v6', process.platform, process.arch, name);
  return existsSync(file) ? file : null;
}

/**
 * Whether Linux has a device to compute on: a render node, NVIDIA's own device, or WSL's. A software Vulkan driver
 * has none of these; starting it only to find out that it is slow would cost seconds on every server.
 */
function hasDeviceNode(): boolean {
  const entries = (folder: string) => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  };
  return (
    entries('/dev/dri').some(name => name.startsWith('renderD')) ||
    entries('/dev').some(name => /^nvidia\d+$/.test(name) || name === 'dxg')
  );
}

const probed = new Map<string, Promise<ProbeResult>>();

/** In a process of its own: a driver that crashes takes nothing with it. Once per process of ours. */
function probeInProcess(provider: 'webgpu' | 'cuda', device: number): Promise<ProbeResult> {
  const key = `${provider} ${device}`;
  let result = probed.get(key);
  if (!result) probed.set(key, (result = runProbe(provider, device)));
  return result;
}

async function runProbe(provider: 'webgpu' | 'cuda', device: number): Promise<ProbeResult> {
  const script = createRequire(import.meta.url).resolve('@dermcap/models/probe');
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [script, provider, String(device)], {
      timeout: PROBE_TIMEOUT_MS,
      // Node's own options (an inspector's port, say) are ours alone.
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    return JSON.parse(stdout) as ProbeResult;
  } catch (error) {
    const { killed, signal } = error as { killed?: boolean; signal?: string | null };
    return {
      failure: killed
        ? 'its driver did not answer'
        : `its driver ended the process (${signal ?? 'no answer'})`,
    };
  }
}
