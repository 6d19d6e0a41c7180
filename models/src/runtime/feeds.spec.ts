import { describe, expect, it } from 'vitest';
import type { CaptionModel } from '../graph/lanes.js';
import { uniforms } from './draws.js';
import { captionFeeds } from './feeds.js';
import type { DecodingIds } from './feeds.js';

const model = {
  sizes: { width: 8, heads: 1, vocabulary: 50, positions: 20, endOfText: 49 },
  prefixes: [{ tower: 0, slots: 2, embedding: 3 }],
  stages: [{ prefix: 0 }, { prefix: 0 }],
  equal: [
    [0, 0],
    [0, 1],
    [0, 1],
  ],
  equalStart: [0, 0],
} as unknown as CaptionModel;

const decoding: DecodingIds = {
  algorithm: 'transformers',
  numBeams: 2,
  maxNewTokens: 5,
  minNewTokens: 0,
  noRepeatNgramSize: 3,
  repetitionPenalty: 1.2,
  lengthPenalty: 0.5,
  earlyStopping: true,
  badWords: [],
  stopToken: 49,
  doSample: false,
  temperature: 1,
  topK: 10,
  topP: 1,
  streams: [],
};

const feeds = (prompts: number[][], options: Partial<DecodingIds> = {}) =>
  captionFeeds(model, new Map([[0, new Float32Array(3)]]), prompts, { ...decoding, ...options });
const values = (tensor: { data: unknown }) => Array.from(tensor.data as BigInt64Array, Number);

describe('decoding options', () => {
  it('take every token as a candidate when the penalty raises scores', () => {
    expect(values(feeds([[1], [1]], { repetitionPenalty: 0.9 })['candidates']!)).toEqual([50]);
    expect(values(feeds([[1], [1]])['candidates']!)).toEqual([2 * 2 + 5 + 1 + 1]);
  });

  it('take as many candidates as top-k keeps after the processors, all of them without top-k', () => {
    const sampling = { numBeams: 1, doSample: true, streams: [{ seed: 0, image: 0n, stage: 0 }] };
    expect(values(feeds([[1], [1]], sampling)['candidates']!)).toEqual([10 + 5 + 1 + 1]);
    const off = feeds([[1], [1]], { ...sampling, topK: 0 });
    expect([...values(off['candidates']!), ...values(off['topK']!)]).toEqual([50, 50]);
  });

  it('draw a number for every row and step', () => {
    const streams = [1n, 2n].flatMap(image => [0, 1].map(stage => ({ seed: 5, image, stage })));
    const { draws } = feeds([[1], [1]], { numBeams: 1, doSample: true, streams });
    expect(draws!.dims).toEqual([4, 5]);
    expect(values(draws!)).toEqual(streams.flatMap(stream => uniforms(stream, 5)));
  });

  it('right-align the contexts of bad phrases and drop a lone stop token', () => {
    const made = feeds([[1], [1]], { badWords: [[4], [5, 6, 7], [49]] });
    expect(values(made['badContexts']!)).toEqual([-2, -2, 5, 6]);
    expect(values(made['badTokens']!)).toEqual([4, 7]);
  });

  it('refuse a prompt in another vocabulary', () => {
    expect(() => feeds([[1], [2, 50]])).toThrow('has a token 50, but the model has 50 tokens only');
  });

  it('refuse what does not fit the positions, with the numbers', () => {
    expect(() => feeds([Array(14).fill(1), [1]])).not.toThrow();
    expect(() => feeds([Array(15).fill(1), [1]])).toThrow(
      '2 prefix slots, a prompt of 15 tokens and 5 new tokens exceed the model',
    );
  });
});
