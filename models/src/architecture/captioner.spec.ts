import { describe, expect, it } from 'vitest';
import type { Checkpoint } from '../checkpoint/open.js';
import type { TensorView } from '../checkpoint/tensor.js';
import { DermcapError } from '../errors.js';
import { captionerArchitecture } from './captioner.js';
import { stateDict } from './stateDict.js';

function view(name: string, ...shape: number[]): TensorView {
  const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
  return { file: 'x.pt', offset: 0, dtype: 'float32', shape, strides, storage: name };
}

/** Tensors of a captioner of `layers` blocks, `width` wide, with LoRA in the last `loraBlocks`. */
function captioner({ layers = 2, width = 64, loraBlocks = 0, rank = 4 } = {}): Map<string, TensorView> {
  const tensors = new Map<string, TensorView>();
  const put = (key: string, ...shape: number[]) => tensors.set(key, view(key, ...shape));
  const pair = (key: string, out: number) => [put(`${key}.weight`, out), put(`${key}.bias`, out)];
  put('gpt2.transformer.wte.weight', 99, width);
  put('gpt2.transformer.wpe.weight', 128, width);
  for (let n = 0; n < layers; n++) {
    const h = `gpt2.transformer.h.${n}`;
    pair(`${h}.ln_1`, width);
    pair(`${h}.ln_2`, width);
    const conv1d = (key: string, inputs: number, outputs: number) => {
      const base = n >= layers - loraBlocks ? `${key}.base` : key;
      put(`${base}.weight`, inputs, outputs);
      put(`${base}.bias`, outputs);
      if (base === key) return;
      put(`${key}.A.weight`, rank, inputs);
      put(`${key}.B.weight`, outputs, rank);
    };
    conv1d(`${h}.attn.c_attn`, width, 3 * width);
    conv1d(`${h}.attn.c_proj`, width, width);
    conv1d(`${h}.mlp.c_fc`, width, 4 * width);
    conv1d(`${h}.mlp.c_proj`, 4 * width, width);
  }
  pair('gpt2.transformer.ln_f', width);
  tensors.set('gpt2.lm_head.weight', tensors.get('gpt2.transformer.wte.weight')!);
  put('prefix.alpha');
  put('prefix.fc1.weight', 512, 32);
  put('prefix.fc1.bias', 512);
  put('prefix.fc2.weight', 8 * width, 512);
  put('prefix.fc2.bias', 8 * width);
  pair('prefix.ln', width);
  return tensors;
}

function open(root: unknown) {
  return stateDict({ path: 'x.pt', format: 'torch-zip', root, metadata: {} } as Checkpoint);
}

const message = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(DermcapError);
    return (error as DermcapError).message;
  }
  return 'no error';
};

describe('a state dict', () => {
  it('is found under the wrappers that trainers use, and their prefixes come off', () => {
    const inner = new Map([...captioner()].map(([key, value]) => [`model.module.${key}`, value]));
    const dict = open(new Map([['state_dict', inner]]));
    expect(dict.unwrapped).toEqual(['state_dict', 'model.', 'module.']);
    expect([...dict.tensors.keys()]).toEqual([...captioner().keys()]);
  });

  it('keeps its names when only a part was compiled', () => {
    const inner = new Map(
      [...captioner()].map(([key, value]) => [key.replace(/^gpt2\./, 'gpt2._orig_mod.'), value]),
    );
    expect([...open(inner).tensors.keys()]).toEqual([...captioner().keys()]);
  });

  it('is found beside a lone tensor, and the configuration at any level', () => {
    const inner = new Map<string, unknown>([
      ['state_dict', captioner()],
      ['cfg', new Map([['prompt_A', 'Describe.']])],
    ]);
    const dict = open(
      new Map<string, unknown>([
        ['model', inner],
        ['best_loss', view('loss')],
      ]),
    );
    expect([...dict.tensors.keys()]).toEqual([...captioner().keys()]);
    expect(dict.beside.get('cfg')).toEqual(new Map([['prompt_A', 'Describe.']]));
  });

  it('refuses a file without tensors, naming its keys', () => {
    expect(message(() => open(new Map([['epoch', 3]])))).toContain('its keys are epoch');
  });
});

describe('the captioner', () => {
  it('takes its sizes from shapes', () => {
    const { architecture } = captionerArchitecture(open(captioner({ layers: 3, width: 128 })));
    expect(architecture).toMatchObject({
      sizes: { width: 128, heads: 2, vocabulary: 99, positions: 128 },
      layers: 3,
      prefixSlots: 8,
      embedding: 32,
      projector: { kind: 'prefix', name: 'prefix', input: 'embedding', hidden: 512, slots: 8 },
      tiedHead: true,
      headsFrom: 'heads of 64',
    });
  });

  it('takes heads from config.json before a known name before the head size', () => {
    const heads = (hints: object, width = 768) =>
      captionerArchitecture(open(captioner({ width })), hints).architecture.sizes.heads;
    expect(heads({ heads: 4, gpt2Name: 'gpt2' })).toBe(4);
    expect(heads({ gpt2Name: 'gpt2' })).toBe(12);
    expect(heads({ gpt2Name: 'gpt2-medium' }, 1024)).toBe(16);
    expect(heads({ gpt2Name: 'my-own' })).toBe(12);
    expect(message(() => heads({}, 96))).toContain('cannot be split into 1.5 attention heads');
  });

  it('finds LoRA in any number of last blocks, with scale 16 / r', () => {
    const { architecture } = captionerArchitecture(open(captioner({ layers: 3, loraBlocks: 2, rank: 4 })));
    expect(architecture.lora).toHaveLength(8);
    expect(architecture.lora[0]).toEqual({ layer: 'gpt2.transformer.h.1.attn.c_attn', rank: 4, scale: 4 });
  });

  it('ignores the causal-mask buffers of old versions, and says so', () => {
    const tensors = captioner();
    tensors.set('gpt2.transformer.h.0.attn.bias', view('mask', 1, 1, 128, 128));
    tensors.set('gpt2.transformer.h.0.attn.masked_bias', view('masked'));
    const { architecture } = captionerArchitecture(open(tensors));
    expect(architecture.keys.ignored.map(({ key }) => key)).toEqual([
      'gpt2.transformer.h.0.attn.bias',
      'gpt2.transformer.h.0.attn.masked_bias',
    ]);
  });

  it('accounts for every entry: used, or ignored for a reason', () => {
    const root = new Map<string, unknown>([...captioner(), ['epoch', 3]]);
    const { keys } = captionerArchitecture(open(root)).architecture;
    expect(new Set(keys.used)).toEqual(new Set(captioner().keys()));
    expect(keys.ignored).toEqual([{ key: 'epoch', reason: 'not a tensor' }]);
  });

  it('names every missing, unexpected and misshapen key at once', () => {
    const tensors = captioner();
    tensors.delete('gpt2.transformer.h.1.ln_2.bias');
    tensors.set('gpt2.transformer.h.0.crossattention.q.weight', view('extra', 4));
    tensors.set('prefix.ln.weight', view('short', 7));
    const text = message(() => captionerArchitecture(open(tensors)));
    expect(text).toContain('missing: gpt2.transformer.h.1.ln_2.bias');
    expect(text).toContain('unexpected: gpt2.transformer.h.0.crossattention.q.weight');
    expect(text).toContain('prefix.ln.weight is [7], expected [64]');
  });

  it('knows the heads of every published GPT-2', () => {
    const heads = (gpt2Name: string, width: number) =>
      captionerArchitecture(open(captioner({ width, layers: 1 })), { gpt2Name }).architecture.sizes.heads;
    expect(heads('distilgpt2', 768)).toBe(12);
    expect(heads('gpt2-large', 1280)).toBe(20);
    expect(heads('gpt2-xl', 1600)).toBe(25);
  });

  it('finds its language model under whatever name it was given', () => {
    for (const name of ['gpt.', 'language_model.', 'decoder.', 'lm.model.']) {
      const tensors = new Map([...captioner()].map(([key, value]) => [key.replace(/^gpt2\./, name), value]));
      const { architecture } = captionerArchitecture(open(tensors));
      expect(architecture).toMatchObject({ layers: 2, tiedHead: true });
    }
  });

  it('does not take half a LoRA layer for a plain one', () => {
    const tensors = captioner({ loraBlocks: 1 });
    tensors.delete('gpt2.transformer.h.1.mlp.c_fc.B.weight');
    expect(message(() => captionerArchitecture(open(tensors)))).toContain(
      'missing: gpt2.transformer.h.1.mlp.c_fc.B.weight',
    );
  });
});

describe('ClipCap’s mappers', () => {
  const width = 64;
  const withMapper = (tensors: [string, ...number[]][]) => {
    const all = [...captioner({ width })].filter(([key]) => key.startsWith('gpt2.'));
    const state = new Map(all.map(([key, value]) => [key.replace('gpt2.', 'gpt.'), value]));
    for (const [key, ...shape] of tensors) state.set(key, view(key, ...shape));
    return captionerArchitecture(open(state)).architecture;
  };

  it('are told apart by their keys, and take features as the tower gives them', () => {
    const mlp = withMapper([
      ['clip_project.model.0.weight', 320, 32],
      ['clip_project.model.0.bias', 320],
      ['clip_project.model.2.weight', 10 * width, 320],
      ['clip_project.model.2.bias', 10 * width],
    ]);
    expect(mlp.projector).toMatchObject({
      kind: 'clipcap-mlp',
      name: 'clip_project',
      input: 'features',
      embedding: 32,
      hidden: 320,
      slots: 10,
    });
    const linear = withMapper([
      ['clip_project.weight', 40 * width, 32],
      ['clip_project.bias', 40 * width],
    ]);
    expect(linear.projector).toMatchObject({ kind: 'clipcap-linear', slots: 40, embedding: 32 });
  });

  it('name the missing key of half a transformer', () => {
    expect(
      message(() =>
        withMapper([
          ['clip_project.prefix_const', 40, width],
          ['clip_project.linear.weight', 40 * width, 640],
        ]),
      ),
    ).toContain('missing: clip_project.linear.bias');
  });
});

describe('LoRA of PEFT', () => {
  /** The same captioner with PEFT's names in its last block; `adapters` of them in each layer. */
  const peft = (adapters: readonly string[]) =>
    new Map(
      [...captioner({ loraBlocks: 1, rank: 4 })].flatMap(([key, value]): [string, TensorView][] => {
        const path = `base_model.model.${key}`;
        const match = /^(.*)\.(base|A|B)\.(weight|bias)$/.exec(path);
        if (!match) return [[path, value]];
        const [, layer, part, kind] = match;
        if (part === 'base') return [[`${layer}.base_layer.${kind}`, value]];
        return adapters.map(name => [`${layer}.lora_${part}.${name}.${kind}`, value]);
      }),
    );
  const settings = (extra: object) => ({
    adapter: {
      peft_type: 'LORA' as const,
      lora_alpha: 8,
      use_rslora: false,
      use_dora: false as const,
      ...extra,
    },
  });

  it('has the scale of its settings: alpha / r, alpha / √r, or a module’s own alpha', () => {
    const scales = (extra: object) =>
      captionerArchitecture(open(peft(['default'])), settings(extra)).architecture.lora.map(l => l.scale);
    expect(scales({})).toEqual([2, 2, 2, 2]);
    expect(scales({ use_rslora: true })).toEqual([4, 4, 4, 4]);
    expect(scales({ alpha_pattern: { 'mlp.c_proj': 4 } })).toEqual([2, 2, 2, 1]);
  });

  it('is refused without its settings, which hold its scale', () => {
    expect(message(() => captionerArchitecture(open(peft(['default']))))).toContain(
      'has LoRA of the PEFT library, whose scale it does not hold',
    );
  });

  it('is refused when a layer has several', () => {
    expect(message(() => captionerArchitecture(open(peft(['first', 'second'])), settings({})))).toContain(
      'has several LoRA adapters: first, second',
    );
  });
});
