/** `dermcap releases`: the releases a server would offer. */
import type { Command } from 'commander';
import type { ReleaseCatalogue } from '../engine/releases.js';
import { gather } from './numbers.js';

/** Where releases are looked for, as given on the command line. */
export interface ReleaseFlags {
  releasePath: string[];
  clip?: string;
}

export function releaseOptions(command: Command): Command {
  return command
    .option(
      '--release-path <dir>',
      'a release or a folder of releases; may be repeated, as may DERMCAP_RELEASE_PATH’s parts',
      gather,
      [],
    )
    .option('--clip <dir>', 'vision tower for releases that bring none (or DERMCAP_CLIP_PATH)');
}

/** The releases that these options and the environment name, and the demo. */
export async function openCatalogue(flags: ReleaseFlags): Promise<ReleaseCatalogue> {
  const { describeRelease } = await import('@dermcap/models/release');
  const { ReleaseCatalogue, clipPath, demoReleaseDir, releasePaths } = await import('../engine/releases.js');
  return new ReleaseCatalogue({
    paths: releasePaths(flags.releasePath),
    clipDir: clipPath(flags.clip),
    demoDir: demoReleaseDir(),
    describe: describeRelease,
  });
}

export function defineReleases(program: Command): void {
  releaseOptions(program.command('releases').description('list the releases that “serve” would offer'))
    .option('--json', 'as JSON', false)
    .action(async (flags: ReleaseFlags & { json: boolean }) => {
      const entries = await (await openCatalogue(flags)).list();
      if (flags.json) {
        const releases = entries.map(({ release, dir, clipDir }) => ({ ...release, dir, clipDir }));
        process.stdout.write(`${JSON.stringify({ releases }, null, 2)}\n`);
        return;
      }
      if (entries.length === 0) process.stdout.write('No releases. Name a folder with --release-path.\n');
      for (const { release, dir } of entries) {
        const stages = release.stages.map(({ label }) => label).join(', ');
        const state = release.problem === null ? stages : `cannot be used: ${release.problem}`;
        process.stdout.write(`${release.id}  ${dir}\n    ${state}\n`);
      }
    });
}
