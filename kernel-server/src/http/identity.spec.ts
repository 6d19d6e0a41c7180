import { describe, expect, it } from 'vitest';
import { userOf } from './identity.js';

const asked = (header: string | undefined) => userOf({ get: () => header } as never);

describe('userOf', () => {
  it('reads the identity that Jupyter gave', () => {
    const identity = { username: 'mira', name: 'Mira Novák', display_name: 'Mira Novák', color: null };
    expect(asked(encodeURIComponent(JSON.stringify(identity)))).toEqual({
      username: 'mira',
      displayName: 'Mira Novák',
    });
  });

  it.each([undefined, '', 'null', '%', '{', '%22x%22', encodeURIComponent('{"username":7}'), '[]'])(
    'takes %j for nobody in particular',
    header => {
      expect(asked(header).username).toBe('anonymous');
    },
  );
});
