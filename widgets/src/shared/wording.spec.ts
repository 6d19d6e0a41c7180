import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';
import type { Caption } from '@dermcap/kernel-server/contract';
import { decodingSummary, duration, settingsThatDiffer, timeLeft } from './wording.js';

const trans = nullTranslator.load('dermcap');

describe('wording', () => {
  it('tells the time left as roughly as it is known', () => {
    expect(timeLeft(12, 1.2, trans)).toBe('less than a minute left');
    expect(timeLeft(150, 1.2, trans)).toBe('about 2 min left');
    expect(timeLeft(100_000, 4, trans)).toBe('about 7 h left');
  });

  it('summarises decoding and time', () => {
    const decoding = { numBeams: 4, minNewTokens: 24, maxNewTokens: 60 } as Caption['decoding'];
    expect(decodingSummary(decoding, trans)).toBe('beam 4, 24–60 tokens');
    expect(decodingSummary({ ...decoding, numBeams: 1 }, trans)).toBe('greedy, 24–60 tokens');
    expect(decodingSummary({ ...decoding, numBeams: 1, doSample: true }, trans)).toBe(
      'sampled, 24–60 tokens',
    );
    expect(duration(411.6, trans)).toBe('412 ms');
    expect(duration(1250, trans)).toBe('1.3 s');
  });

  it('names the settings that differ beside the stage, whose file hashes always differ', () => {
    const caption = (sha256: string, precision: string) =>
      ({ release: { name: 'demo', sha256 }, clip: { sha256: 'c' }, precision, decoding: {} }) as Caption;
    expect(settingsThatDiffer(caption('a', 'exact'), caption('b', 'exact'), trans)).toEqual([]);
    expect(settingsThatDiffer(caption('a', 'exact'), caption('b', 'fast'), trans)).toEqual(['precision']);
  });
});
