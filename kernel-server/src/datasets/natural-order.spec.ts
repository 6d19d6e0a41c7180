import { describe, expect, it } from 'vitest';
import { naturalSort } from './natural-order.js';

describe('naturalSort', () => {
  it('counts numbers, ignores case and accents', async () => {
    expect(
      await naturalSort(['img10.jpg', 'IMG2.jpg', 'img1.jpg', 'Éa.png', 'ez.png', 'img002.jpg', 'a.png']),
    ).toEqual(['a.png', 'Éa.png', 'ez.png', 'img1.jpg', 'IMG2.jpg', 'img002.jpg', 'img10.jpg']);
  });

  it('orders numbers beyond 2^53 and the parts after them', async () => {
    const names = [
      'ISIC_100000000000000000001.jpg',
      'ISIC_99999999999999999999.jpg',
      'v2-10.png',
      'v2-9.png',
      'v10-1.png',
    ];
    expect(await naturalSort(names)).toEqual([
      'ISIC_99999999999999999999.jpg',
      'ISIC_100000000000000000001.jpg',
      'v2-9.png',
      'v2-10.png',
      'v10-1.png',
    ]);
  });

  it('sorts ten thousand names as it sorts ten', async () => {
    const names = Array.from({ length: 10_001 }, (_, index) => `ISIC_${(index * 7919) % 10_001}.jpg`);
    expect(await naturalSort(names)).toEqual(Array.from(names, (_, index) => `ISIC_${index}.jpg`));
  });

  it('gives the same order whatever order it is given', async () => {
    const names = ['a01', 'a1', 'A1', 'a001'];
    expect(await naturalSort(names)).toEqual(await naturalSort([...names].reverse()));
  });
});
