import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { Graph } from '../graph/builder.js';
import { captionGraph } from '../graph/caption.js';
import type { CaptionModel } from '../graph/lanes.js';
import { createSession, webgpuCpuNodes } from './session.js';

/** onnxruntime's limit for the value of a provider's option. */
const MOST_CHARACTERS = 8192;

describe('webgpuCpuNodes', () => {
  it('fits into a provider option for three full-size stages', () => {
    const nodes = webgpuCpuNodes(captionGraph(fullSize(3)).withoutFusedMatMul());
    expect(new Set(nodes).size).toBe(nodes.length);
    expect(nodes.join('\n').length).toBeLessThan(MOST_CHARACTERS);
  });
});

describe('Graph.withoutFusedMatMul', () => {
  it('computes the same, in a body too', async () => {
    const build = () => {
      const g = new Graph('products');
      const q = g.input('q', 'float', [1, 2, 3, 4]);
      const k = g.input('k', 'float', [1, 2, 5, 4]);
      const [y] = g.either(
        g.bool(true),
        [['float', 4]],
        body => [body.matmulTransposed(q, k, 0.5)],
        body => [body.matmulTransposed(q, k)],
      );
      g.output(y!, 'float', [1, 2, 3, 5], 'y');
      return g;
    };
    const values = (n: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i));
    const feeds = {
      q: new Tensor('float32', values(24), [1, 2, 3, 4]),
      k: new Tensor('float32', values(40), [1, 2, 5, 4]),
    };
    const results: number[][] = [];
    for (const graph of [build(), build().withoutFusedMatMul()]) {
      const session = await createSession(graph, { name: 'cpu', reason: '' }, 1);
      results.push([...((await session.run(feeds))['y']!.data as Float32Array)]);
      await session.release();
    }
    results[1]!.forEach((value, i) => expect(value).toBeCloseTo(results[0]![i]!, 6));
    expect(
      build()
        .withoutFusedMatMul()
        .nodeNames(type => type === 'FusedMatMul'),
    ).toEqual([]);
  });
});

/** GPT-2 medium's shapes, a file that is never opened, the last two blocks and the embeddings apart. */
function fullSize(count: number): CaptionModel {
  const [width, layers, vocabulary, positions, slots, hidden] = [1024, 24, 50257, 1024, 32, 2048];
  let offset = 0;
  const weight = (...shape: number[]) => ({ file: '/nowhere', offset: 64 * offset++, shape });
  const norm = () => ({ weight: weight(width), bias: weight(width) });
  const layer = (from: number, to: number) => ({ weight: weight(from, to), bias: weight(to) });
  const block = () => ({
    ln1: norm(),
    attention: { qkv: layer(width, 3 * width), out: layer(width, width) },
    ln2: norm(),
    mlp: { up: layer(width, 4 * width), down: layer(4 * width, width) },
  });
  const shared = Array.from({ length: layers }, block);
  const apart = (l: number) => l >= layers - 2;
  return {
    sizes: { width, heads: 16, vocabulary, positions, endOfText: vocabulary - 1 },
    prefixes: [
      {
        ...{ tower: 0, input: 'embedding', slots, embedding: 512 },
        projector: {
          kind: 'prefix',
          fc1: { weight: weight(hidden, 512), bias: weight(hidden) },
          fc2: { weight: weight(slots * width, hidden), bias: weight(slots * width) },
          norm: norm(),
          alpha: weight(),
        },
      },
    ],
    stages: Array.from({ length: count }, () => ({
      prefix: 0,
      weights: {
        tokenEmbedding: weight(vocabulary, width),
        positionEmbedding: weight(positions, width),
        blocks: shared.map((same, l) => (apart(l) ? block() : same)),
        finalNorm: norm(),
        head: weight(vocabulary, width),
      },
    })),
    equal: Array.from({ length: layers + 1 }, (_, l) =>
      Array.from({ length: count }, (_, s) => (apart(l) || l === layers ? s : 0)),
    ),
    equalStart: Array(count).fill(0),
  };
}
