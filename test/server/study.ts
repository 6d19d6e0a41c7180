/** A folder of generated images, some of them broken, and a small release from the parity fixtures. */
import { mkdir, mkdtemp, realpath, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const FIXTURES = fileURLToPath(new URL('../fixtures/captions', import.meta.url));
/** A pair of stages of four layers; seeded noise, so its captions say nothing. */
export const RELEASE = join(FIXTURES, 'releases', 'shared-pair');
export const TOWER = join(FIXTURES, 'towers', 'vit-160');
/** The built command line. */
export const CLI = fileURLToPath(new URL('../../kernel-server/lib/cli.js', import.meta.url));

export interface Study {
  /** Temporary folder around everything; remove it at the end. */
  base: string;
  root: string;
  socketPath: string;
  cacheDir: string;
}

/** `img1.png` … `img12.png`, `more/turned.jpg`, `more/scan.tiff`, and what cannot be read. */
export async function makeStudy(): Promise<Study> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'dermcap-study-')));
  const root = join(base, 'root');
  await mkdir(join(root, 'more'), { recursive: true });
  await mkdir(join(base, 'outside'));
  for (let n = 1; n <= 12; n++) {
    await spot(200 + 10 * n, 180, n * 20)
      .png()
      .toFile(join(root, `img${n}.png`));
  }
  await spot(240, 160, 99)
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toFile(join(root, 'more', 'turned.jpg'));
  await spot(240, 160, 50)
    .tiff()
    .toFile(join(root, 'more', 'scan.tiff'));
  await writeFile(join(root, 'more', 'text.jpg'), 'This is text.');
  await writeFile(join(root, 'more', 'empty.png'), '');
  await writeFile(join(root, 'notes.txt'), 'not an image');
  await spot(100, 100, 7)
    .png()
    .toFile(join(base, 'outside', 'secret.png'));
  await symlink(join(base, 'outside'), join(root, 'link-folder'));
  await symlink(join(base, 'outside', 'secret.png'), join(root, 'link.png'));
  return { base, root, socketPath: join(base, 'run', 's'), cacheDir: join(base, 'cache') };
}

/** A dark ellipse on a skin-like ground. */
function spot(width: number, height: number, hue: number): sharp.Sharp {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
    <rect width="100%" height="100%" fill="#e0b090"/>
    <ellipse cx="50%" cy="45%" rx="${20 + (hue % 15)}%" ry="25%" fill="hsl(${hue} 50% 30%)"/></svg>`;
  return sharp(Buffer.from(svg)).removeAlpha();
}
