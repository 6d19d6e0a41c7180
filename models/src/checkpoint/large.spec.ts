import { open, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, readCheckpoint } from './open.js';
import { readFloat32 } from './read.js';
import type { TensorView } from './tensor.js';
import { SparseSource } from './testSources.js';
import { tensorPickle, torchZip } from './testWriters.js';
import type { TestTensor } from './testWriters.js';

/** Names and shapes of a release with gpt2-medium: 308 tensors, one storage shared. */
function releaseTensors(): TestTensor[] {
  const shapes: [name: string, shape: number[]][] = [
    ['gpt2.transformer.wte.weight', [50257, 1024]],
    ['gpt2.transformer.wpe.weight', [1024, 1024]],
  ];
  const linears: [string, number, number][] = [
    ['attn.c_attn', 1024, 3072],
    ['attn.c_proj', 1024, 1024],
    ['mlp.c_fc', 1024, 4096],
    ['mlp.c_proj', 4096, 1024],
  ];
  for (let block = 0; block < 24; block++) {
    const at = `gpt2.transformer.h.${block}`;
    for (const norm of ['ln_1', 'ln_2'])
      shapes.push([`${at}.${norm}.weight`, [1024]], [`${at}.${norm}.bias`, [1024]]);
    for (const [name, inputs, outputs] of linears) {
      const base = block === 23 ? `${at}.${name}.base` : `${at}.${name}`;
      shapes.push([`${base}.weight`, [inputs, outputs]], [`${base}.bias`, [outputs]]);
      if (block === 23)
        shapes.push([`${at}.${name}.A.weight`, [16, inputs]], [`${at}.${name}.B.weight`, [outputs, 16]]);
    }
  }
  shapes.push(
    ['gpt2.transformer.ln_f.weight', [1024]],
    ['gpt2.transformer.ln_f.bias', [1024]],
    ['gpt2.lm_head.weight', [50257, 1024]],
    ['prefix.alpha', []],
    ['prefix.fc1.weight', [2048, 512]],
    ['prefix.fc1.bias', [2048]],
    ['prefix.fc2.weight', [32768, 2048]],
    ['prefix.fc2.bias', [32768]],
    ['prefix.ln.weight', [1024]],
    ['prefix.ln.bias', [1024]],
  );
  return shapes.map(([name, shape], i) => ({
    name,
    key: name === 'gpt2.lm_head.weight' ? '0' : String(i),
    elements: shape.reduce((product, n) => product * n, 1),
    offset: 0,
    shape,
    strides: shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1)),
  }));
}

function releaseZip(tensors: readonly TestTensor[]) {
  const storages = new Map(tensors.map(({ key, elements }) => [key, elements]));
  return torchZip([
    { name: 'best_stageA/data.pkl', content: tensorPickle(tensors) },
    { name: 'best_stageA/byteorder', content: new TextEncoder().encode('little') },
    ...[...storages].map(([key, elements]) => ({ name: `best_stageA/data/${key}`, content: 4 * elements })),
    { name: 'best_stageA/version', content: new TextEncoder().encode('3\n') },
  ]);
}

describe('a release of 1.7 GB', () => {
  it('is opened by reading little more than its pickle and directory', async () => {
    const tensors = releaseTensors();
    expect(tensors).toHaveLength(308);
    const { byteLength, pieces } = releaseZip(tensors);
    expect(byteLength).toBeGreaterThan(1.69e9);
    const source = new SparseSource(byteLength, pieces);
    const root = (await readCheckpoint(source)).root as Map<string, TensorView>;

    expect([...root.keys()]).toEqual(tensors.map(({ name }) => name));
    expect(source.bytesRead).toBeLessThan(256 << 10);
    // The head, the tail, two records with their headers, one header for each of 307 storages
    expect(source.reads).toBe(1 + 1 + 4 + 307);
    const wte = root.get('gpt2.transformer.wte.weight')!;
    expect(root.get('gpt2.lm_head.weight')).toEqual(wte);
    for (const view of root.values()) expect(view.offset % 64).toBe(0);
  });

  it('gives the right bytes from a sparse file on disk, also beyond 4 GiB', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'dermcap-large-'));
    try {
      const far: TestTensor = { name: 'far', key: '1', elements: 3, offset: 1, shape: [2], strides: [1] };
      const zip = torchZip([
        {
          name: 'big/data.pkl',
          content: tensorPickle([
            { name: 'wide', key: '0', elements: 1.2e9, offset: 3, shape: [2, 2, 2], strides: [1, 1e9, 1e8] },
            far,
          ]),
        },
        { name: 'big/data/0', content: 4.8e9 },
        { name: 'big/data/1', content: new Uint8Array(Float32Array.of(1, 2.5, -3).buffer) },
      ]);
      const path = join(folder, 'big.pt');
      const file = await open(path, 'w');
      await file.truncate(zip.byteLength);
      for (const [offset, bytes] of zip.pieces) await file.write(bytes, 0, bytes.length, offset);
      await file.close();

      const root = (await openCheckpoint(path)).root as Map<string, TensorView>;
      expect(root.get('far')!.offset).toBeGreaterThan(2 ** 32);
      expect([...(await readFloat32(root.get('far')!))]).toEqual([2.5, -3]);

      // A tensor with elements 400 MB and 4 GB apart, its narrowest stride first: i + 10 j + 100 k at [i, j, k]
      const wide = root.get('wide')!;
      const expected: number[] = [];
      const writing = await open(path, 'r+');
      for (const [i, j, k] of [0, 1, 2, 3, 4, 5, 6, 7].map(n => [n >> 2, (n >> 1) & 1, n & 1] as const)) {
        const value = Float32Array.of(i + 10 * j + 100 * k);
        expected.push(value[0]!);
        await writing.write(value, 0, 4, wide.offset + 4 * (i + 1e9 * j + 1e8 * k));
      }
      await writing.close();
      expect([...(await readFloat32(wide))]).toEqual(expected);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
