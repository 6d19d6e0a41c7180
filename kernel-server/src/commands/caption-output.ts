/** What `dermcap caption` writes: JSON lines for programs, or a table and a progress bar for people. */
import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import type { Captioner } from '@dermcap/models';
import type { ImageResult } from '../engine/pipeline.js';

export interface CaptionOutput {
  /** What opening the release is doing. */
  phase: (detail: string) => void;
  begin: (captioner: Captioner, releaseName: string) => void;
  result: (result: ImageResult) => void;
  end: (failed: number) => void;
}

export function captionOutput(options: { json: boolean; total: number }): CaptionOutput {
  return options.json ? jsonLines() : table(options.total);
}

function jsonLines(): CaptionOutput {
  const line = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
  return {
    phase: () => undefined,
    begin: () => undefined,
    result(result) {
      if ('error' in result) {
        const { code, message } = result.error;
        line({ image: result.image, error: { code, message } });
      } else {
        for (const caption of result.captions) line(caption);
      }
    },
    end: () => undefined,
  };
}

const STAGE_COLUMN = 7;
/** Of the table's frame and padding. */
const FRAME = 10;

function table(total: number): CaptionOutput {
  const width = Math.max(60, Math.min(process.stdout.columns ?? 100, 160));
  const imageColumn = Math.min(32, Math.floor(width / 4));
  const rows = new Table({
    head: ['Image', 'Stage', 'Caption'],
    colWidths: [imageColumn, STAGE_COLUMN + 2, width - imageColumn - STAGE_COLUMN - FRAME + 4],
    wordWrap: true,
    style: { head: [], border: [] },
  });
  const bar = process.stderr.isTTY
    ? new SingleBar({
        stream: process.stderr,
        format: '{bar} {value}/{total} images, {detail}',
        // The terminal is left as it is, so that Ctrl-C has nothing to restore.
        hideCursor: false,
        linewrap: true,
        clearOnComplete: true,
        barsize: 24,
      })
    : null;
  // The end of a path tells images apart; the table itself would keep its beginning.
  const name = (image: string): string => {
    const text = printable(image);
    return text.length > imageColumn - 2 ? `…${text.slice(3 - imageColumn)}` : text;
  };
  let provenance = '';
  let done = 0;
  return {
    phase(detail) {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${detail}`);
    },
    begin(captioner, releaseName) {
      if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
      const { provider, precision } = captioner;
      provenance = `Release ${releaseName}, ${precision} on ${provider.name} (${provider.reason}).`;
      bar?.start(total, 0, { detail: 'captioning' });
    },
    result(result) {
      bar?.update(++done);
      if ('error' in result) {
        rows.push([name(result.image), 'failed', printable(result.error.message)]);
      } else {
        for (const { stage, caption } of result.captions) {
          rows.push([
            name(result.image),
            stage === 'final' ? 'Final' : stage.toUpperCase(),
            printable(caption),
          ]);
        }
      }
    },
    end(failed) {
      bar?.stop();
      if (rows.length > 0) process.stdout.write(`${rows.toString()}\n`);
      const failures = failed > 0 ? ` ${failed} of ${total} images failed.` : '';
      process.stdout.write(`${provenance}${failures}\nResearch use only, not for clinical use.\n`);
    },
  };
}

/** File names and captions must not steer the terminal (CWE-150). */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '\u{fffd}');
}
