import { join } from 'node:path';
import { inspectRelease } from '@dermcap/models';
import { gpt2Tokenizer } from '../../models/lib/text/tokenizer.js';

/**
 * What the bounds and the reference need to know of a pair.
 * @returns `model` and `tower`: sizes (bound.mjs); `stages`: file and prompt's token ids by stage
 */
export async function readPair(folder, cacheDir) {
  const { stages, sharing, clip } = await inspectRelease(folder, { cacheDir });
  const [a, b] = ['a', 'b'].map(id => stages.find(stage => stage.id === id));
  const { sizes, layers, projector } = a.architecture;
  const { different } = sharing.find(({ stages: pair }) => pair.includes('a') && pair.includes('b'));
  const differentBlocks = different.flatMap(path => /^gpt2\.blocks\.(\d+)\./.exec(path)?.[1] ?? []);
  const tokenizer = gpt2Tokenizer();
  const prompts = [a.config.prompt_A, b.config.prompt_B].map(prompt => tokenizer.encode(prompt));
  const pair = {
    model: {
      ...sizes,
      layers,
      sharedLayers: Math.min(layers, ...differentBlocks.map(Number)),
      prefixSlots: projector.slots,
      embedding: projector.embedding,
      hidden: projector.hidden,
      promptTokens: prompts.map(({ length }) => length),
    },
    tower: { ...clip.sizes, layers: clip.layers },
    stages: {
      a: { file: join(folder, a.file), prompt: [...prompts[0]] },
      b: { file: join(folder, b.file), prompt: [...prompts[1]] },
    },
  };
  const missing = Object.entries({ ...pair.tower, ...pair.model }).find(([, size]) => size == null);
  if (missing) throw new Error(`${folder}: its “${missing[0]}” is not known.`);
  return pair;
}
