/** `dermcap study`: make, fill, look into, check and copy a study’s file. */
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { StudyFile } from '../study/open.js';
import { EXIT_SOME_FAILED } from './failure.js';

export function defineStudy(program: Command, finish: (code: number) => void): void {
  const study = program.command('study').description('make, fill, check and copy studies');

  study
    .command('create')
    .description('make an empty study')
    .argument('<file>', 'NAME.dermcap')
    .option('--title <text>', 'what the study is called')
    .action(async (file: string, { title }: { title?: string }) => {
      const { openStudy } = await import('../study/open.js');
      const { writeSettings } = await import('../study/settings.js');
      await within(openStudy(file, { create: true }), async made => {
        if (title !== undefined) await writeSettings(made.db, { title });
        say(`Made ${made.path}.`);
      });
    });

  study
    .command('info')
    .description('say what a study holds')
    .argument('<file>', 'NAME.dermcap')
    .option('--json', 'as JSON', false)
    .action(async (file: string, { json }: { json: boolean }) => {
      const { openStudy } = await import('../study/open.js');
      const { summary } = await import('../study/settings.js');
      await within(openStudy(file), async found => {
        const known = { path: found.path, storage: found.storage, ...(await summary(found)) };
        if (json) return say(JSON.stringify(known, null, 2));
        say(`${known.title || basename(known.path)}`);
        say(`  ${known.images} images, ${known.captions} captions, ${known.ratings} ratings`);
        for (const [state, count] of Object.entries(known.states)) say(`  ${state}: ${count}`);
        const { network, journal } = known.storage;
        say(
          network === null
            ? `  journal: ${journal}`
            : `  on a network file system (${network}), journal: ${journal}`,
        );
      });
    });

  study
    .command('import')
    .description(
      'import a folder or a manifest, or bring what was imported up to date; ends with 1 when images cannot be opened',
    )
    .argument(
      '<path>',
      'a folder, a manifest or a WebDataset .tar; “dermcap dataset inspect” shows what it is taken for',
    )
    .argument('<file>', 'NAME.dermcap')
    .option('--root <dir>', 'folder that image paths are relative to (default: the manifest’s)')
    .option('--strip-dicom', 'take the pixels of DICOM files that name a person', false)
    .action(async (path: string, file: string, flags: { root?: string; stripDicom: boolean }) => {
      if ((await importInto(path, file, flags)) > 0) finish(EXIT_SOME_FAILED);
    });

  study
    .command('check')
    .description('look for damage in a study’s file; ends with 1 when there is some')
    .argument('<file>', 'NAME.dermcap')
    .option('--json', 'as JSON', false)
    .action(async (file: string, { json }: { json: boolean }) => {
      const { openStudy } = await import('../study/open.js');
      await within(openStudy(file), async checked => {
        const problems = checked.check();
        if (json) say(JSON.stringify({ problems }));
        else if (problems.length === 0) say(`${checked.path} is sound.`);
        for (const problem of json ? [] : problems) say(problem);
        if (problems.length > 0) finish(EXIT_SOME_FAILED);
      });
    });

  study
    .command('backup')
    .description('copy a study, also while another command uses it')
    .argument('<file>', 'NAME.dermcap')
    .argument('<copy>', 'name of the copy')
    .action(async (file: string, copy: string) => {
      const { backupStudy } = await import('../study/backup.js');
      await backupStudy(file, copy);
      say(`Copied to ${copy}.`);
    });
}

async function importInto(
  path: string,
  file: string,
  flags: { root?: string; stripDicom: boolean },
): Promise<number> {
  const { openDataset } = await import('../datasets/open.js');
  const { startExaminer } = await import('../datasets/fingerprints.js');
  const { openStudy } = await import('../study/open.js');
  const { importDataset } = await import('../study/import.js');
  const dataset = await openDataset(path, flags.root === undefined ? {} : { root: flags.root });
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort(new Error('Interrupted. Importing again goes on from here.')));
  const examiner = startExaminer({ dicom: { strip: flags.stripDicom } });
  let unopened = 0;
  try {
    await within(openStudy(file), async study => {
      const { rows, added, updated, moved, problems } = await importDataset(study, dataset, {
        examine: examiner.examine,
        signal: stop.signal,
        onProgress: ({ rows: done, total }) => {
          if (process.stderr.isTTY)
            process.stderr.write(`\r\x1b[K${done}${total === null ? '' : ` of ${total}`} rows`);
        },
      });
      if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
      say(
        `${rows} rows: ${added} images added, ${updated} brought up to date, ${moved} found under another name.`,
      );
      for (const [state, count] of Object.entries(problems)) {
        unopened += count;
        say(`  ${state}: ${count}`);
      }
    });
  } finally {
    await examiner.close();
  }
  return unopened;
}

async function within(
  opening: Promise<StudyFile>,
  work: (study: StudyFile) => Promise<void> | void,
): Promise<void> {
  const study = await opening;
  try {
    await work(study);
  } finally {
    await study.close();
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
