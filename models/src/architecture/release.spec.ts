import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeRelease, endOfTextId, openRelease, readGpt2Config } from './release.js';

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

const FIXTURES = join(import.meta.dirname, '../../../test/fixtures');

describe('a release without the family’s file names', () => {
  it('is its one checkpoint, by its folder or its path', async () => {
    await put('coco_weights.pt', checkpoint());
    for (const path of [folder, join(folder, 'coco_weights.pt')])
      expect(await describeRelease(path)).toMatchObject({
        folder,
        stages: [{ id: 'final', file: 'coco_weights.pt' }],
      });
    expect((await describeRelease(join(folder, 'coco_weights.pt'))).name).toBe('coco_weights');
  });

  it('is unclear when there are several, until one is named', async () => {
    for (const name of ['epoch_8.pt', 'epoch_9.pt']) await put(name, checkpoint());
    await expect(describeRelease(folder)).rejects.toMatchObject({
      code: 'release-unclear',
      message: `${folder} holds several checkpoints: epoch_8.pt, epoch_9.pt.`,
    });
    expect((await describeRelease(join(folder, 'epoch_9.pt'))).stages).toMatchObject([
      { file: 'epoch_9.pt' },
    ]);
  });

  it('keeps the stage its file name tells', async () => {
    await put('best_stageB.pt', checkpoint());
    expect((await describeRelease(join(folder, 'best_stageB.pt'))).stages).toMatchObject([{ id: 'b' }]);
  });
});

describe('the mode inference-min', () => {
  const pair = join(FIXTURES, 'captions/releases/shared-pair');

  it('takes what LoRA wraps from Stage A’s base, and the rest from the stage', async () => {
    const [faithful, published] = [
      await openRelease(pair),
      await openRelease(pair, ['b'], { mode: 'inference-min' }),
    ];
    const [a, b] = faithful.stages.map(stage => stage.sources.gpt2.blocks.at(-1)!);
    const block = published.stages[0]!.sources.gpt2.blocks.at(-1)!;
    expect(published.mode).toBe('inference-min');
    const wrapped = a!.attention.qkv.weight;
    expect(wrapped.kind).toBe('lora');
    if (wrapped.kind !== 'lora') return;
    expect(block.attention.qkv).toEqual({
      weight: { kind: 'stored', view: wrapped.base },
      bias: a!.attention.qkv.bias,
    });
    expect(block.ln1).toEqual(b!.ln1);
  });

  it('is refused without a Stage A, and where Stage A has no LoRA', async () => {
    await copyFile(join(pair, 'best_stageB.pt'), join(folder, 'best_stageB.pt'));
    await copyFile(join(pair, 'config.json'), join(folder, 'config.json'));
    await expect(openRelease(folder, ['b'], { mode: 'inference-min' })).rejects.toMatchObject({
      code: 'inference-min-unavailable',
    });
    const strangers = join(FIXTURES, 'captions/releases/strangers');
    await expect(openRelease(strangers, ['b'], { mode: 'inference-min' })).rejects.toThrow(
      'best_stageA.pt does not hold the stock weights of block 0',
    );
  });
});
