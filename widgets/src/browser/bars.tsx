import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { Button } from '../shared/controls.js';
import { count, stageLetters, timeLeft } from '../shared/wording.js';
import type { FolderModel } from './model.js';
import type { CaptionRun } from './run.js';

interface BarProps {
  model: FolderModel;
  trans: TranslationBundle;
}

/** What can be done with the chosen images; there only while some are. */
export function SelectionBar({
  model,
  trans,
  onCompare,
}: BarProps & { onCompare: () => void }): React.JSX.Element {
  const n = model.selection.chosen.size;
  return (
    <div className="dc-SelectionBar" role="group" aria-label={trans.__('Selection')}>
      <strong>{trans.__('%1 selected', count(n))}</strong>
      <Button keyName="↵" keyShortcut="Enter" onClick={onCompare}>
        {trans.__('Compare')}
      </Button>
      <span className="dc-Spacer" />
      <Button look="quiet" keyName="Esc" keyShortcut="Escape" onClick={() => model.selection.none()}>
        {trans.__('Clear')}
      </Button>
    </div>
  );
}

/** How the run stands, and what can be done about it. */
export function RunBar({ model, trans, run }: BarProps & { run: CaptionRun }): React.JSX.Element {
  const state = run.run;
  const failures = run.failures.length;
  return (
    <div className="dc-RunBar" role="group" aria-label={trans.__('Caption run')}>
      <strong className="dc-RunBar-title">{runTitle(run, trans)}</strong>
      {run.active && <Progress run={run} trans={trans} />}
      <span className={`dc-RunBar-detail${run.error || state?.state === 'failed' ? ' dc-mod-error' : ''}`}>
        {runDetail(run, trans)}
      </span>
      {failures > 0 && (
        <span className="dc-RunBar-failed">
          <span className="dc-mod-error">{trans.__('%1 failed', count(failures))}</span>
          <button
            type="button"
            className="dc-Link"
            aria-label={
              model.filter === 'failed' ? trans.__('Show all images') : trans.__('Show the failed images')
            }
            onClick={() => model.setFilter(model.filter === 'failed' ? 'all' : 'failed')}
          >
            {model.filter === 'failed' ? trans.__('show all') : trans.__('show')}
          </button>
        </span>
      )}
      <span className="dc-Spacer" />
      {run.active ? (
        <Button small keyName="." disabled={run.cancelling} onClick={() => void run.cancel()}>
          {run.cancelling ? trans.__('Cancelling…') : trans.__('Cancel')}
        </Button>
      ) : (
        <>
          {failures > 0 && (
            <Button small disabled={!model.canCaption} onClick={() => void model.retryFailed()}>
              {trans.__('Retry failed')}
            </Button>
          )}
          {run.remaining.length > 0 && (
            <Button small disabled={!model.canCaption} onClick={() => void model.continueRun()}>
              {state && run.remaining.length < state.total
                ? trans.__('Caption the other %1', count(run.remaining.length))
                : trans.__('Retry')}
            </Button>
          )}
          <Button small look="quiet" onClick={() => model.closeRun()}>
            {trans.__('Close')}
          </Button>
        </>
      )}
    </div>
  );
}

function Progress({ run, trans }: { run: CaptionRun; trans: TranslationBundle }): React.JSX.Element {
  const state = run.run;
  const counting = state?.state === 'running';
  const done = counting ? (state.captioned + state.failed) / Math.max(1, state.total) : 0;
  return (
    <div
      className={`dc-Progress${counting ? '' : ' dc-mod-waiting'}`}
      role="progressbar"
      aria-label={trans.__('Images captioned')}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={counting ? Math.round(done * 100) : undefined}
    >
      <div style={{ width: `${done * 100}%` }} />
    </div>
  );
}

function runTitle(run: CaptionRun, trans: TranslationBundle): string {
  const state = run.run;
  const letters = state ? stageLetters(state.stages) : '';
  if (run.error) return state ? trans.__('The run was lost') : trans.__('The run could not start');
  switch (state?.state) {
    case undefined:
      return trans.__('Starting');
    case 'queued':
      return trans.__('Waiting to caption with %1', letters);
    case 'done':
      return trans._n('Captioned %1 image', 'Captioned %1 images', state!.captioned, count(state!.captioned));
    case 'cancelled':
      return trans.__('Cancelled');
    case 'failed':
      return trans.__('The run failed');
    default:
      return trans.__('Captioning with %1', letters);
  }
}

function runDetail(run: CaptionRun, trans: TranslationBundle): string {
  const state = run.run;
  if (run.error?.code === 'no-such-run') {
    return trans.__(
      'The DermCap server stopped during this run and was started again. Captions made so far stay.',
    );
  }
  if (run.error) return [run.error.message, run.error.hint].filter(Boolean).join(' ');
  if (!run.connected) return trans.__('Connection lost; trying to reach the server again…');
  if (!state) return '';
  const { captioned, failed, total, imagesPerSecond } = state;
  if (state.state === 'done') return trans.__('with %1', stageLetters(state.stages));
  if (state.state === 'cancelled') {
    return trans.__('%1 of %2 are captioned; these captions stay.', count(captioned), count(total));
  }
  if (state.state !== 'running') return state.detail;
  const parts = [trans.__('%1 of %2', count(captioned + failed), count(total))];
  if (imagesPerSecond) {
    const rate = imagesPerSecond < 10 ? imagesPerSecond.toFixed(1) : imagesPerSecond.toFixed(0);
    parts.push(trans.__('%1 images/s', rate), timeLeft(total - captioned - failed, imagesPerSecond, trans));
  }
  return parts.join(' · ');
}

/** Says aloud what changed: the selection, and a run's beginning, every tenth of it, and end. */
export function Announcer({ model, trans }: BarProps): React.JSX.Element {
  const { run, selection } = model;
  const n = selection.chosen.size;
  const chosen = n > 0 ? trans._n('%1 image selected', '%1 images selected', n, count(n)) : '';
  return (
    <div className="dc-visuallyHidden">
      <div role="status">{chosen}</div>
      <div role="status">{run ? spokenRun(run, trans) : ''}</div>
    </div>
  );
}

function spokenRun(run: CaptionRun, trans: TranslationBundle): string {
  const state = run.run;
  if (run.active && run.connected && state?.state === 'running') {
    const tenth = Math.floor((10 * (state.captioned + state.failed)) / Math.max(1, state.total));
    return tenth === 0 ? runTitle(run, trans) : trans.__('%1 percent captioned', tenth * 10);
  }
  if (state?.state === 'done') {
    return trans.__('The run is finished: %1 of %2 captioned', count(state.captioned), count(state.total));
  }
  return `${runTitle(run, trans)}. ${runDetail(run, trans)}`;
}
