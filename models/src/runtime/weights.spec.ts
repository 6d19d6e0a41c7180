import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WeightSource } from '../architecture/source.js';
import type { DType, TensorView } from '../checkpoint/tensor.js';
import { CacheUse } from './cacheUse.js';
import { fileSha256 } from './identity.js';
import { materialiser, mergeLora } from './materialise.js';
import { blockIsEqual, compareWeights, sharesAll } from './sharing.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-weights-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function file(name: string, values: ArrayBufferView): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return path;
}

function view(path: string, shape: number[], dtype: DType = 'float32', strides?: number[]): TensorView {
  const dense = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  return { file: path, offset: 0, dtype, shape, strides: strides ?? dense, storage: '0' };
}

const stored = (tensor: TensorView): WeightSource => ({ kind: 'stored', view: tensor });

describe('materialising a weight', () => {
  it('uses contiguous fp32 where it lies', async () => {
    const path = await file('w', Float32Array.of(1, 2, 3, 4));
    const weight = await materialiser(new CacheUse(folder))(stored(view(path, [2, 2])));
    expect(weight).toEqual({ file: path, offset: 0, shape: [2, 2] });
  });

  it('writes fp16 as fp32 into the cache, once for equal bytes', async () => {
    const half = Uint16Array.of(0x3c00, 0xc000); // 1, −2
    const [one, two] = [await file('one', half), await file('two', half)];
    const materialise = materialiser(new CacheUse(folder));
    const weights = [
      await materialise(stored(view(one, [2], 'float16'))),
      await materialise(stored(view(two, [2], 'float16'))),
    ];
    expect(weights[0]!.file).toBe(weights[1]!.file);
    expect(new Float32Array((await readFile(weights[0]!.file)).buffer.slice(0))).toBeDefined();
    const bytes = await readFile(weights[0]!.file);
    expect([bytes.readFloatLE(0), bytes.readFloatLE(4)]).toEqual([1, -2]);
    expect(await readdir(join(folder, 'weights'))).toHaveLength(1);
  });

  it('writes a file again that lost its content', async () => {
    const source = stored(view(await file('w', Uint16Array.of(0x3c00)), [1], 'float16'));
    const { file: made } = await materialiser(new CacheUse(folder))(source);
    await writeFile(made, '');
    await materialiser(new CacheUse(folder))(source);
    expect((await readFile(made)).readFloatLE(0)).toBe(1);
  });

  it('gives an absolute path, also in a cache named relatively', async () => {
    const path = await file('w', Uint16Array.of(0x3c00));
    const weight = await materialiser(new CacheUse(relative(process.cwd(), folder)))(
      stored(view(path, [1], 'float16')),
    );
    expect(weight.file.startsWith(folder)).toBe(true);
  });

  it('lays a transposed tensor out in order', async () => {
    const path = await file('t', Float32Array.of(1, 2, 3, 4, 5, 6));
    const { file: made } = await materialiser(new CacheUse(folder))(
      stored(view(path, [3, 2], 'float32', [1, 3])),
    );
    const bytes = await readFile(made);
    expect(Array.from({ length: 6 }, (_, i) => bytes.readFloatLE(4 * i))).toEqual([1, 4, 2, 5, 3, 6]);
  });

  it('merges LoRA as base + scale · (B A)ᵀ', () => {
    const base = view('', [2, 3]);
    const source = { kind: 'lora' as const, base, a: view('', [1, 2]), b: view('', [3, 1]), scale: 2 };
    const merged = mergeLora(source, [
      Float32Array.of(1, 1, 1, 1, 1, 1),
      Float32Array.of(1, 10),
      Float32Array.of(1, 2, 3),
    ]);
    // (B A) is [3, 2]: [[1, 10], [2, 20], [3, 30]]
    expect([...merged]).toEqual([3, 5, 7, 21, 41, 61]);
  });
});

describe('comparing two models', () => {
  it('finds what is equal by bytes, not by name or storage', async () => {
    const a = await file('a', Float32Array.of(1, 2));
    const b = await file('b', Float32Array.of(1, 2));
    const c = await file('c', Float32Array.of(1, 3));
    const model = (first: string, second: string) => ({
      projector: stored(view(a, [2])),
      gpt2: { blocks: [{ up: stored(view(first, [2])) }, { up: stored(view(second, [2])) }] },
    });
    const sharing = await compareWeights(model(a, a), model(b, c), folder);
    expect(sharing.weights['gpt2.blocks.0.up']).toEqual({ equal: true, bytes: 8 });
    expect(sharing.weights['gpt2.blocks.1.up']).toEqual({ equal: false, bytes: 8 });
    expect([0, 1].map(block => blockIsEqual(sharing, block))).toEqual([true, false]);
    expect(sharesAll(sharing, 'projector')).toBe(true);
    expect(sharesAll(sharing, 'gpt2.blocks')).toBe(false);
  });

  it('looks again when a file has changed', async () => {
    const a = await file('a', Float32Array.of(1, 2));
    const b = await file('b', Float32Array.of(1, 2));
    const compare = () => compareWeights({ w: stored(view(a, [2])) }, { w: stored(view(b, [2])) }, folder);
    expect((await compare()).weights['w']!.equal).toBe(true);
    await file('b', Float32Array.of(1, 2.5));
    expect((await compare()).weights['w']!.equal).toBe(false);
  });
});

describe('the hash of a file', () => {
  it('is its SHA-256, and follows its content', async () => {
    const path = await file('h', new TextEncoder().encode('abc'));
    const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    expect(await fileSha256(path, folder)).toBe(abc);
    await writeFile(path, 'abcd');
    expect(await fileSha256(path, folder)).not.toBe(abc);
  });
});
