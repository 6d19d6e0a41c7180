/**
 * The weights that the family's published script (`inference_min.py`) ends up with: it builds a stock GPT-2 without LoRA
 * and loads the checkpoint without complaint about keys that do not fit, so that whatever LoRA wraps stays as it was
 * before training. Stage A never trains what it wraps: its base weights are the stock ones.
 */
import { DermcapError } from '../errors.js';
import type { OpenStage } from './release.js';
import { stored } from './source.js';
import type { SourceLinear } from './source.js';

/**
 * A stage whose LoRA-wrapped layers are Stage A's base weights; the stage itself where it has no LoRA.
 * @throws DermcapError `inference-min-unavailable` when Stage A is missing or does not hold those layers
 */
export function withoutTraining(stage: OpenStage, stageA: OpenStage | null): OpenStage {
  const { lora } = stage.architecture;
  if (lora.length === 0) return stage;
  const unavailable = (why: string) =>
    new DermcapError(
      'inference-min-unavailable',
      `${stage.path}: the mode inference-min is not possible, as ${why}.`,
      {
        hint: 'It takes the stock GPT-2 weights from a Stage A checkpoint (best_stageA.pt) in the same folder.',
      },
    );
  if (stageA === null) throw unavailable('there is no Stage A checkpoint beside it');
  const stock = stageA.sources.gpt2.blocks;
  const base = (layer: SourceLinear, other: SourceLinear | undefined, name: string): SourceLinear => {
    if (layer.weight.kind !== 'lora') return layer;
    if (other?.weight.kind !== 'lora')
      throw unavailable(`${stageA.file} does not hold the stock weights of ${name}: it has no LoRA there`);
    const [own, theirs] = [layer.weight.base.shape, other.weight.base.shape];
    if (own.join() !== theirs.join())
      throw unavailable(`${name} is [${theirs.join(', ')}] in ${stageA.file} and [${own.join(', ')}] here`);
    return { weight: stored(other.weight.base), bias: other.bias };
  };
  const blocks = stage.sources.gpt2.blocks.map((block, n) => ({
    ...block,
    attention: {
      qkv: base(block.attention.qkv, stock[n]?.attention.qkv, `block ${n}'s attn.c_attn`),
      out: base(block.attention.out, stock[n]?.attention.out, `block ${n}'s attn.c_proj`),
    },
    mlp: {
      up: base(block.mlp.up, stock[n]?.mlp.up, `block ${n}'s mlp.c_fc`),
      down: base(block.mlp.down, stock[n]?.mlp.down, `block ${n}'s mlp.c_proj`),
    },
  }));
  return { ...stage, sources: { ...stage.sources, gpt2: { ...stage.sources.gpt2, blocks } } };
}
