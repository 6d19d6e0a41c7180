import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DermcapError } from '../errors.js';
import { openCheckpoint } from './open.js';
import { isTensorView, readBytes, readFloat32 } from './read.js';
import { fixture } from './testSources.js';
import type { TensorView } from './tensor.js';
import type { PickleValue } from './values.js';

const { files } = JSON.parse(await readFile(fixture('expected.json'), 'utf8')) as {
  files: Record<string, unknown>;
};

/** The value in the JSON of `expected.json`. */
async function describeValue(value: PickleValue): Promise<unknown> {
  if (typeof value === 'bigint') return { int: String(value) };
  if (typeof value === 'number') return number(value);
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return Promise.all(value.map(describeValue));
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (value instanceof Set) return { set: [...value].sort() };
  if (value instanceof Map)
    return {
      dict: await Promise.all(
        [...value].map(async ([k, v]) => [await describeValue(k), await describeValue(v)]),
      ),
    };
  if (isTensorView(value)) {
    const values = Array.from(await readFloat32(value), number);
    return { tensor: { dtype: value.dtype, shape: [...value.shape], values } };
  }
  return { complex: [value.real, value.imaginary] };
}

function number(value: number): unknown {
  if (Number.isFinite(value)) return value;
  return { float: Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf' };
}

function dictAt(root: PickleValue, ...path: string[]): Map<PickleValue, PickleValue> {
  return at(root, ...path) as Map<PickleValue, PickleValue>;
}

function at(root: PickleValue, ...path: string[]): PickleValue {
  return path.reduce((value, key) => (value as Map<string, PickleValue>).get(key)!, root);
}

describe('openCheckpoint', () => {
  it.each(Object.keys(files))('reads in %s what torch reads', async name => {
    const { root } = await openCheckpoint(fixture(`good/${name}`));
    expect(await describeValue(root)).toEqual(files[name]);
  });

  it('names the format and the real path', async () => {
    const formats = await Promise.all(
      ['release.pt', 'release_legacy.pt', 'tensors.safetensors'].map(async name => {
        const { path, format } = await openCheckpoint(fixture(`good/${name}`));
        expect(path).toBe(fixture(`good/${name}`));
        return format;
      }),
    );
    expect(formats).toEqual(['torch-zip', 'torch-legacy', 'safetensors']);
  });

  it('gives the metadata of safetensors', async () => {
    const { metadata } = await openCheckpoint(fixture('good/tensors.safetensors'));
    expect(metadata).toEqual({ format: 'pt', note: '≤' });
  });

  it.each(['release.pt', 'release_legacy.pt', 'protocol4.pt'])(
    'sees tied weights of %s in one storage',
    async name => {
      const { root } = await openCheckpoint(fixture(`good/${name}`));
      const view = (key: string) => at(root, 'model', key) as TensorView;
      expect(view('lm_head.weight').storage).toBe(view('wte.weight').storage);
      expect(view('lm_head.weight').offset).toBe(view('wte.weight').offset);
      expect(view('fc.weight').storage).not.toBe(view('wte.weight').storage);
      expect(view('alpha').shape).toEqual([]);
    },
  );

  it('keeps the order of a state dict', async () => {
    const { root } = await openCheckpoint(fixture('good/release.pt'));
    expect([...dictAt(root, 'model').keys()]).toEqual([
      'alpha',
      'mask',
      'wte.weight',
      'lm_head.weight',
      'fc.weight',
      'fc.bias',
    ]);
  });

  it('aligns tensors of a new file as torch wrote them', async () => {
    const { root } = await openCheckpoint(fixture('good/plain.pt'));
    expect((at(root, 'w') as TensorView).offset % 64).toBe(0);
  });

  it('gives the bytes of contiguous tensors and of no others', async () => {
    const { root } = await openCheckpoint(fixture('good/strided.pt'));
    const bytes = await readBytes(at(root, 'base') as TensorView);
    expect([...new Float32Array(bytes.buffer, bytes.byteOffset, 4)]).toEqual([-3, -2, -1, 0]);
    await expect(readBytes(at(root, 'transposed') as TensorView)).rejects.toThrow(/strided/);
  });
});

describe('openCheckpoint refuses', () => {
  const cases: [file: string, code: string, says: RegExp][] = [
    ['whole_module.pt', 'checkpoint-refused', /asks for __main__\.Captioner.*Nothing was run/],
    ['whole_module_legacy.pt', 'checkpoint-refused', /__main__\.Captioner|whole module/],
    ['linear_module.pt', 'checkpoint-refused', /torch\.nn\.modules\.linear\.Linear/],
    ['os_system.pt', 'checkpoint-refused', /\(data\.pkl, byte \d+\): it asks for (posix|os|nt)\.system/],
    ['os_system_protocol4.pt', 'checkpoint-refused', /asks for (posix|os|nt)\.system/],
    ['os_system_legacy.pt', 'checkpoint-refused', /\(object, byte \d+\): it asks for (posix|os|nt)\.system/],
    ['getattr.pt', 'checkpoint-refused', /__builtin__\.getattr|builtins\.getattr/],
    ['eval.pt', 'checkpoint-refused', /eval/],
    ['build.pt', 'checkpoint-refused', /state \(BUILD\) of a list or tuple/],
    ['numpy_scalar.pt', 'checkpoint-refused', /numpy\.(_)?core\.multiarray\.scalar/],
    ['function_as_value.pt', 'checkpoint-refused', /torch\._utils\._rebuild_tensor_v2 stands among the data/],
    ['path.pt', 'checkpoint-refused', /asks for pathlib/],
    ['quantised.pt', 'checkpoint-refused', /QInt8Storage|quantised tensor/],
    ['sparse.pt', 'checkpoint-refused', /a sparse tensor \(torch\._utils\._rebuild_sparse_tensor\)/],
    ['meta.pt', 'checkpoint-refused', /meta device.*_rebuild_meta_tensor_no_storage/],
    ['complex_tensor.pt', 'checkpoint-refused', /torch\.ComplexFloatStorage/],
    ['float8.pt', 'checkpoint-unsupported', /torch\.float8_e4m3fn/],
    ['uint16.pt', 'checkpoint-unsupported', /torch\.uint16/],
    ['deque.pt', 'checkpoint-refused', /collections\.deque/],
    ['cyclic.pt', 'checkpoint-refused', /contains itself/],
    ['billion_laughs.pt', 'checkpoint-limit', /unfolds to more than/],
    ['deep.pt', 'checkpoint-limit', /levels deep/],
    ['deflated.pt', 'checkpoint-compressed', /plain\/\S+ is compressed \(zip method 8\)/],
    ['encrypted.pt', 'checkpoint-encrypted', /plain\/\S+ is encrypted/],
    ['big_endian.pt', 'checkpoint-unsupported', /big-endian/],
    ['torchscript.pt', 'checkpoint-unsupported', /TorchScript/],
    ['other_zip.pt', 'checkpoint-format', /zip archive, but not one of torch\.save/],
    ['legacy_tar.pt', 'checkpoint-legacy-tar', /tar archive/],
    ['plain_pickle.pt', 'checkpoint-format', /Python pickle, but not one of torch\.save/],
  ];

  it.each(cases)('%s as %s', async (file, code, says) => {
    const error = await openCheckpoint(fixture(`refused/${file}`)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(DermcapError);
    expect((error as DermcapError).code).toBe(code);
    expect((error as DermcapError).message).toMatch(says);
    expect((error as DermcapError).message).toContain(fixture(`refused/${file}`));
  });
});

describe('openCheckpoint on files that are no checkpoints', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dermcap-open-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const lfs =
    'version https://git-lfs.github.com/spec/v1\n' +
    'oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 1693118468\n';
  const cases: [kind: string, content: string | Uint8Array, code: string, says: RegExp][] = [
    ['an empty file', '', 'checkpoint-empty', /is empty/],
    ['text', 'epoch,loss\n1,0.5\n', 'checkpoint-format', /text file \("epoch,loss/],
    ['JSON', '{"model": {"w": [1, 2, 3]}}', 'checkpoint-format', /text file/],
    ['a web page', '\n<!DOCTYPE html>\n<html><title>Sign in</title>', 'checkpoint-format', /web page/],
    ['an XML error', '<?xml version="1.0"?><Error>AccessDenied</Error>', 'checkpoint-format', /web page/],
    ['a Git LFS pointer', lfs, 'checkpoint-lfs-pointer', /Git LFS pointer/],
    ['gzip', Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0), 'checkpoint-format', /gzip/],
    ['zeros', new Uint8Array(10_000), 'checkpoint-truncated', /zeros/],
    ['noise', Uint8Array.of(0xde, 0xad, 0xbe, 0xef, 1, 2, 3), 'checkpoint-format', /not a PyTorch/],
    ['one byte', Uint8Array.of(0x80), 'checkpoint-format', /not a PyTorch/],
  ];
  it.each(cases)('says that %s is none', async (kind, content, code, says) => {
    const path = join(folder, `${kind}.pt`);
    await writeFile(path, content);
    await expect(openCheckpoint(path)).rejects.toMatchObject({ code, message: expect.stringMatching(says) });
  });

  it('says how to fetch the file behind a Git LFS pointer', async () => {
    const path = join(folder, 'pointer.pt');
    await writeFile(path, lfs);
    await expect(openCheckpoint(path)).rejects.toMatchObject({
      hint: expect.stringContaining('git lfs pull'),
    });
  });

  it('says that a folder, a missing file and a pipe are none', async () => {
    await mkdir(join(folder, 'folder.pt'));
    execFileSync('mkfifo', [join(folder, 'pipe.pt')]);
    for (const [name, code] of [
      ['folder.pt', 'checkpoint-is-folder'],
      ['nothing.pt', 'checkpoint-missing'],
      ['pipe.pt', 'checkpoint-not-a-file'],
    ] as const)
      await expect(openCheckpoint(join(folder, name))).rejects.toMatchObject({ code });
  });

  it('follows links to the real path', async () => {
    await symlink(fixture('good/plain.pt'), join(folder, 'link.pt'));
    expect((await openCheckpoint(join(folder, 'link.pt'))).path).toBe(fixture('good/plain.pt'));
  });

  it('takes control characters out of what it quotes', async () => {
    const path = join(folder, 'escape.pt');
    await writeFile(path, '\u001b[2Jevil');
    const error = await openCheckpoint(path).catch((e: unknown) => e as DermcapError);
    expect((error as DermcapError).message).not.toContain('\u001b');
  });
});

describe('a truncated file', () => {
  it.each(['release.pt', 'release_legacy.pt', 'tensors.safetensors', 'zip64.pt'])(
    'is told from a whole one at every length of %s',
    async name => {
      const folder = await mkdtemp(join(tmpdir(), 'dermcap-cut-'));
      try {
        const whole = await readFile(fixture(`good/${name}`));
        const path = join(folder, 'cut.pt');
        const step = Math.max(1, Math.floor(whole.length / 60));
        for (let length = 64; length < whole.length; length += step) {
          await writeFile(path, whole.subarray(0, length));
          await expect(openCheckpoint(path), `${length} bytes`).rejects.toMatchObject({
            code: 'checkpoint-truncated',
          });
        }
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );
});
