import type { ImagePage } from '@dermcap/kernel-server/contract';
import { describe, expect, it } from 'vitest';
import { COLLECT_SIZE, PAGE_SIZE, ListedImages, PagedImages } from './images.js';
import { IndexSet } from './indexset.js';

const image = (i: number) => ({ path: `f/${i}.png`, name: `${i}.png`, sizeBytes: 1, modifiedMs: 1 });

/** A folder of `total` images whose requests are written down; `failing` makes the next ones fail. */
function folder(total: number) {
  const asked: [number, number][] = [];
  const state = { total, failing: false };
  const page = (offset: number, limit: number): ImagePage => ({
    folder: 'f',
    total: state.total,
    offset,
    images: Array.from({ length: Math.max(0, Math.min(limit, state.total - offset)) }, (_, i) =>
      image(offset + i),
    ),
  });
  const fetchPage = (offset: number, limit: number) => {
    asked.push([offset, limit]);
    return state.failing ? Promise.reject(new Error('away')) : Promise.resolve(page(offset, limit));
  };
  return { images: new PagedImages(fetchPage, page(0, PAGE_SIZE)), asked, state };
}

const settled = () => new Promise(resolve => setTimeout(resolve));

describe('PagedImages', () => {
  it('knows the total from the first page and loads what is on screen, once', async () => {
    const { images, asked } = folder(100_000);
    expect(images.total).toBe(100_000);
    expect(images.at(50_000)).toBeUndefined();
    images.show(50_010, 50_050);
    images.show(50_010, 50_060);
    await settled();
    images.show(50_010, 50_050);
    await settled();
    expect(asked).toEqual([[50_000, PAGE_SIZE]]);
    expect(images.at(50_033)?.name).toBe('50033.png');
    expect(images.find('f/50033.png')).toBe(images.at(50_033));
  });

  it('does not ask for pages that were scrolled past', async () => {
    const { images, asked } = folder(100_000);
    for (let at = 1000; at < 90_000; at += 1000) images.show(at, at + 10);
    await settled();
    expect(asked.length).toBeLessThanOrEqual(3);
    expect(images.at(89_000)).toBeDefined();
  });

  it('collects the paths of a large selection in order, with few requests', async () => {
    const { images, asked } = folder(4321);
    const paths = await images.paths(IndexSet.all(4321));
    expect(paths).toHaveLength(4321);
    expect(paths[4000]).toBe('f/4000.png');
    expect(asked.length).toBe(Math.ceil((4321 - PAGE_SIZE) / COLLECT_SIZE));
  });

  it('takes what is there when the folder shrank', async () => {
    const { images, state } = folder(1000);
    state.total = 300;
    expect(await images.paths(IndexSet.between(250, 999))).toHaveLength(50);
  });

  it('remembers why a page did not come, stops asking, and asks again on retry', async () => {
    const { images, asked, state } = folder(1000);
    state.failing = true;
    images.show(500, 520);
    await settled();
    expect(images.error).toEqual(new Error('away'));
    images.show(500, 520);
    await settled();
    expect(asked).toHaveLength(1);
    state.failing = false;
    images.retry();
    await settled();
    expect(images.error).toBeNull();
    expect(images.at(510)).toBeDefined();
  });
});

describe('ListedImages', () => {
  it('gives the paths of chosen positions', async () => {
    const list = new ListedImages([image(4), image(9)]);
    expect(await list.paths(IndexSet.between(1, 1))).toEqual(['f/9.png']);
    expect(list.total).toBe(2);
  });
});
