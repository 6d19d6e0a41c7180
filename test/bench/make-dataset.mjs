// Writes a dataset of any size for measurements: a few different pictures under many names (hard links, which
// cost no space), in folders of 1,000, and a manifest in HAM10000's columns with captions.
//
//   node test/bench/make-dataset.mjs FOLDER [--rows 100000] [--pictures 200] [--copies] [--seed 1]
//
// --copies writes a file of its own for every row: what hashing and decoding cost when nothing repeats.
import { createWriteStream } from 'node:fs';
import { link, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import sharp from 'sharp';

const DIAGNOSES = ['nv', 'mel', 'bkl', 'bcc', 'akiec', 'vasc', 'df'];
const SITES = [
  'back',
  'lower extremity',
  'trunk',
  'upper extremity',
  'abdomen',
  'face',
  'chest',
  'foot',
  'scalp',
];
const COLOURS = ['brown', 'dark brown', 'pink', 'red', 'black', 'skin-coloured', 'blue-grey'];
const FORMS = ['macule', 'papule', 'plaque', 'nodule', 'patch'];
/** Links that one file may have; ext4 allows 65,000. */
const LINKS_PER_FILE = 20_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rows: { type: 'string', default: '100000' },
    pictures: { type: 'string', default: '200' },
    copies: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
  },
});
const [folder] = positionals;
if (!folder) throw new Error('Name the folder to write.');
const rows = Number(values.rows);
const random = mulberry32(Number(values.seed));

/** A small generator of random numbers from a seed (mulberry32, public domain). */
function mulberry32(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const pick = list => list[Math.floor(random() * list.length)];

/** A lesion on skin, 600 × 450 as HAM10000's. */
async function picture() {
  const tone = 150 + Math.floor(random() * 80);
  const spots = Array.from({ length: 12 }, () => {
    const [x, y, r] = [600 * random(), 450 * random(), 10 + 60 * random()];
    const shade = Math.floor(30 + 120 * random());
    return `<ellipse cx="${x}" cy="${y}" rx="${r}" ry="${r * (0.5 + random())}" fill="rgb(${shade + 40},${shade},${shade})"/>`;
  });
  const svg = `<svg width="600" height="450"><rect width="600" height="450" fill="rgb(${tone},${tone * 0.8},${tone * 0.7})"/>${spots.join('')}</svg>`;
  return sharp(Buffer.from(svg)).blur(2).jpeg({ quality: 90 }).toBuffer();
}

const pictures = [];
for (let n = 0; n < Math.min(rows, Number(values.pictures)); n++) pictures.push(await picture());

await mkdir(folder, { recursive: true });
const manifest = createWriteStream(join(folder, 'metadata.csv'));
manifest.write('lesion_id,image_id,dx,dx_type,age,sex,localization,dataset,caption,split\n');
const originals = new Map();
let part = '';
for (let row = 0; row < rows; row++) {
  if (row % 1000 === 0) {
    part = join(folder, `part_${String(row / 1000).padStart(4, '0')}`);
    await mkdir(part, { recursive: true });
  }
  const name = `BENCH_${String(row).padStart(7, '0')}`;
  const file = join(part, `${name}.jpg`);
  const which = row % pictures.length;
  const key = `${which}/${Math.floor(row / pictures.length / LINKS_PER_FILE)}`;
  if (values.copies || !originals.has(key)) {
    // A comment behind the picture makes every copy another file.
    await writeFile(
      file,
      values.copies ? Buffer.concat([pictures[which], Buffer.from(name)]) : pictures[which],
    );
    originals.set(key, file);
  } else {
    await link(originals.get(key), file);
  }
  const [dx, site, form] = [pick(DIAGNOSES), pick(SITES), pick(FORMS)];
  const size = 2 + Math.floor(random() * 20);
  const caption = `A ${pick(COLOURS)} ${form} of ${size} mm on the ${site}, with ${pick(['regular', 'irregular'])} border, consistent with ${dx}.`;
  const line = [
    `LESION_${String(Math.floor(row / 1.4)).padStart(7, '0')}`,
    name,
    dx,
    pick(['histo', 'follow_up', 'consensus']),
    5 * Math.floor(random() * 18),
    pick(['male', 'female']),
    site,
    pick(['vidir_modern', 'rosendahl', 'vienna_dias']),
    `"${caption}"`,
    pick(['train', 'train', 'train', 'validation', 'test']),
  ];
  if (!manifest.write(`${line.join(',')}\n`)) await new Promise(resolve => manifest.once('drain', resolve));
}
manifest.end();
await finished(manifest);
console.log(`${rows} rows, ${pictures.length} pictures in ${folder}`);
