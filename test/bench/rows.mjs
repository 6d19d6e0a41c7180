/**
 * The rows of the table. A row names its work; rows with the same `captioner` are measured in one process of ours.
 *
 * `goal` is a ratio to the reference, or, for the cost of a pair, of a pair to one stage.
 */
const BEAMS = 4;

const caption = (name, captioner, images, goal, beams = BEAMS) => ({
  name,
  kind: 'caption',
  captioner,
  work: { images, beams },
  goal,
});
const embed = (images, precision, goal) => ({
  name: `image embedding (ViT-B/16), batch ${images}, ${precision}`,
  kind: 'embed',
  captioner: { stages: ['a'], precision },
  work: { images },
  goal,
});
const pair = precision => ({ stages: ['a', 'b'], precision });
const one = precision => ({ stages: ['a'], precision });
const cost = (images, precision, most) => ({
  name: `cost of a pair over one stage, ${imageCount(images)}, ${precision}`,
  kind: 'cost',
  of: `pair, ${imageCount(images)}, ${precision}`,
  over: `one stage, ${imageCount(images)}, ${precision}`,
  goal: { most },
});

function imageCount(images) {
  return images === 1 ? '1 image' : `${images} images`;
}

/** In the order of the table. */
export const ROWS = [
  caption('pair, 1 image, exact', pair('exact'), 1, { least: 5.8 }),
  caption('pair, 1 image, fast', pair('fast'), 1, { least: 12 }),
  caption('pair, 8 images, exact', pair('exact'), 8, { least: 3.2 }),
  caption('pair, 8 images, fast', pair('fast'), 8, { least: 5 }),
  caption('one stage, 1 image, exact', one('exact'), 1, { least: 4.5 }),
  caption('one stage, 1 image, fast', one('fast'), 1, { least: 9 }),
  caption('one stage, 8 images, exact', one('exact'), 8, null),
  caption('one stage, 8 images, fast', one('fast'), 8, null),
  caption('greedy, one stage, 1 image, exact', one('exact'), 1, { least: 1.2 }, 1),
  caption('greedy, one stage, 1 image, fast', one('fast'), 1, { least: 3.5 }, 1),
  cost(1, 'exact', 1.4),
  cost(1, 'fast', 1.4),
  cost(8, 'exact', 1.7),
  cost(8, 'fast', 1.7),
  embed(1, 'exact', null),
  embed(1, 'fast', { least: 3 }),
  embed(8, 'exact', null),
  embed(8, 'fast', { least: 2 }),
  // Scripts of their own, which print their rows as JSON: README.md.
  { name: 'preprocessing', kind: 'script', script: 'preprocess.mjs', goal: { least: 1 } },
  { name: 'explanation', kind: 'script', script: 'explain.mjs', goal: null },
];

/**
 * Loading up to the first caption of a pair, in a process and a cache of its own each: first with an empty cache, then
 * with what that left. `goal` is for the seconds until the captioner is ready.
 */
export const LOADS = [
  { precision: 'exact', cache: 'empty', goal: null },
  { precision: 'exact', cache: 'filled', goal: { most: 5 } },
  { precision: 'fast', cache: 'empty', goal: { most: 20 } },
  { precision: 'fast', cache: 'filled', goal: { most: 3 } },
];
