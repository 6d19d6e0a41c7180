import { CLIPCAP_DECODING, DEFAULT_DECODING } from '@dermcap/models';
import { describe, expect, it } from 'vitest';
import { completeDecoding, DecodingOptions } from './decoding.js';

describe('decoding options', () => {
  it('have the defaults of the models', () => {
    expect(completeDecoding({})).toEqual(DEFAULT_DECODING);
    expect(completeDecoding({ algorithm: 'clipcap', numBeams: undefined })).toEqual(CLIPCAP_DECODING);
    expect(completeDecoding({ doSample: true })).toEqual({
      ...DEFAULT_DECODING,
      doSample: true,
      numBeams: 1,
    });
  });

  it('say only what was asked for', () => {
    expect(DecodingOptions.parse({ topK: 0 })).toEqual({ topK: 0 });
  });

  it('do not draw with several beams', () => {
    const { error } = DecodingOptions.safeParse({ doSample: true, numBeams: 4 });
    expect(error!.issues).toMatchObject([{ path: ['numBeams'], message: 'sampling draws with one beam' }]);
  });
});
