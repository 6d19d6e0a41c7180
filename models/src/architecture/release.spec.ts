import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeRelease, endOfTextId, readGpt2Config } from './release.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dermcap-release-'));
});
afterEach(() => rm(folder, { recursive: true }));

const put = (name: string, content: string | Uint8Array) => writeFile(join(folder, name), content);

/** The smallest file that holds a tensor (of safetensors: the reader goes by content, not by name). */
function checkpoint(): Uint8Array {
  const header = Buffer.from('{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(4)]);
}

describe('the prompt of the final model', () => {
  const final = async () => (await describeRelease(folder)).stages.find(({ id }) => id === 'final');

  it('is the one of its own .json, also when others lie beside it', async () => {
    for (const name of ['a', 'b']) await put(`final_captioner_${name}.pt`, checkpoint());
    for (const name of ['a', 'b', 'z'])
      await put(`final_captioner_${name}.json`, JSON.stringify({ prompt: `prompt ${name}` }));
    expect(await final()).toMatchObject({ file: 'final_captioner_b.pt', prompt: 'prompt b' });
  });

  it('is the last .json’s when it has none of its own', async () => {
    await put('final_captioner_b.pt', checkpoint());
    for (const name of ['a', 'z'])
      await put(`final_captioner_${name}.json`, JSON.stringify({ prompt: `prompt ${name}` }));
    expect(await final()).toMatchObject({ prompt: 'prompt z' });
  });
});

describe('config.json', () => {
  const config = async (value: unknown) => {
    await put('config.json', JSON.stringify(value));
    return readGpt2Config(folder);
  };

  it('gives heads and end-of-text, or leaves them open', async () => {
    const published = { activation_function: 'gelu_new', layer_norm_epsilon: 1e-5 };
    expect(await config({ ...published, n_head: 3, eos_token_id: 7 })).toEqual({ heads: 3, endOfText: 7 });
    expect(await config({ eos_token_id: null })).toEqual({ heads: undefined, endOfText: undefined });
  });

  it('is refused where it asks for another computation, naming the setting', async () => {
    await expect(config({ activation_function: 'relu' })).rejects.toThrow('activation_function "relu"');
    await expect(config({ layer_norm_epsilon: 1e-6 })).rejects.toThrow('layer_norm_epsilon');
  });

  it('is refused when it is no object', async () => {
    await expect(config(null)).rejects.toThrow('config.json is no JSON object');
  });
});

describe('the token that ends a caption', () => {
  it("is the configuration's, else the tokenizer's, else the last, as far as the vocabulary has them", () => {
    expect(endOfTextId(50257, 50256, 0)).toBe(50256);
    expect(endOfTextId(340, 50256, 0)).toBe(0);
    expect(endOfTextId(340, undefined, 7)).toBe(7);
    expect(endOfTextId(340, -1, 50256)).toBe(339);
  });
});
