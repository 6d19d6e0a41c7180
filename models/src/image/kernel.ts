/** models/assembly/resample.ts, compiled: what its parameters are is said there. */
import { RESAMPLE_KERNEL } from './resampleKernel.js';

export interface Kernel {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): void };
  resampleRows(
    source: number,
    sourceStride: number,
    rows: number,
    taps: number,
    recordBytes: number,
    outputs: number,
    target: number,
    targetStride: number,
  ): void;
  resampleColumns(
    source: number,
    sourceStride: number,
    width: number,
    taps: number,
    recordBytes: number,
    outputs: number,
    target: number,
    targetStride: number,
  ): void;
}

/** What is used of an interface that TypeScript declares for browsers only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** A memory never shrinks: one that had to grow past this is not kept (CWE-770). */
const KEPT_BYTES = 64e6;
const PAGE_BYTES = 65_536;

const compiled = new WebAssembly.Module(Buffer.from(RESAMPLE_KERNEL, 'base64'));
let kept: Kernel | undefined;

/** The kernel with at least `size` bytes of memory, whatever they hold. */
export function kernelWith(size: number): Kernel {
  const kernel = kept ?? (new WebAssembly.Instance(compiled).exports as Kernel);
  const missing = size - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / PAGE_BYTES));
  kept = size > KEPT_BYTES ? undefined : kernel;
  return kernel;
}
