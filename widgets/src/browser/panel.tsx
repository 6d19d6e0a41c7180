import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { CompareModel } from '../compare/model.js';
import { ComparePane } from '../compare/view.js';
import { Button, Message } from '../shared/controls.js';
import { useChanges } from '../shared/usechanges.js';
import { Announcer, RunBar, SelectionBar } from './bars.js';
import { Grid } from './grid.js';
import type { FolderModel } from './model.js';
import { Toolbar } from './toolbar.js';

export interface FolderViewProps {
  model: FolderModel;
  compare: CompareModel;
  trans: TranslationBundle;
  /** Puts text on the clipboard. */
  copy: (text: string) => void;
}

/** The whole panel: toolbar, grid and compare pane side by side (one over the other when narrow), bars. */
export function FolderView({ model, compare, trans, copy }: FolderViewProps): React.JSX.Element {
  useChanges(model.changed, compare.changed);
  const root = React.useRef<HTMLDivElement>(null);
  const focusLater = (selector: string) =>
    requestAnimationFrame(() => root.current?.querySelector<HTMLElement>(selector)?.focus());

  // When the control with the focus goes away (Cancel at the end of a run), the panel keeps the focus and its keys.
  const focusInside = React.useRef(false);
  React.useLayoutEffect(() => {
    if (focusInside.current && document.activeElement === document.body) {
      root.current?.focus({ preventScroll: true });
    }
  });

  React.useLayoutEffect(() => {
    // The widget was activated before this was there; keys are handled here.
    if (root.current?.parentElement === document.activeElement) root.current?.focus();
  }, []);

  const openCompare = () => {
    compare.open();
    focusLater('.dc-Compare');
  };
  const closeCompare = () => {
    compare.close();
    focusLater('.dc-Cell[tabindex="0"]');
  };

  const onKeyDown = (event: React.KeyboardEvent) => {
    const typing = (event.target as Element).closest('select, textarea, input:not([type="range"])');
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'c') void model.captionChosen();
    else if (event.key === '.') void model.run?.cancel();
    else return;
    event.preventDefault();
  };

  return (
    <div
      ref={root}
      className="dc-FolderView"
      tabIndex={-1}
      onKeyDown={onKeyDown}
      onFocus={() => (focusInside.current = true)}
      onBlur={event => (focusInside.current = event.currentTarget.contains(event.relatedTarget))}
    >
      <Toolbar model={model} trans={trans} />
      <Notices model={model} trans={trans} />
      <div className={`dc-FolderView-body${compare.isOpen ? ' dc-mod-comparing' : ''}`}>
        <div className="dc-FolderView-grid">
          <Content model={model} trans={trans} onOpen={openCompare} />
          {model.phase === 'ready' && model.selection.chosen.size > 0 && (
            <SelectionBar model={model} trans={trans} onCompare={openCompare} />
          )}
        </div>
        {compare.isOpen && <ComparePane compare={compare} trans={trans} copy={copy} onClose={closeCompare} />}
      </div>
      {model.collecting && (
        <div className="dc-RunBar" role="status">
          {trans.__('Reading the list of chosen images…')}
        </div>
      )}
      {model.run && !model.collecting && <RunBar model={model} trans={trans} run={model.run} />}
      <Announcer model={model} trans={trans} />
    </div>
  );
}

/** The grid, or in words why there is none. */
function Content(props: {
  model: FolderModel;
  trans: TranslationBundle;
  onOpen: () => void;
}): React.JSX.Element {
  const { model, trans, onOpen } = props;
  if (model.phase === 'failed' && model.error) {
    return (
      <Message failed title={model.error.message} hint={model.error.hint}>
        <Button onClick={() => void model.open()}>{trans.__('Retry')}</Button>
      </Message>
    );
  }
  if (model.phase === 'starting' || !model.images) return <Opening trans={trans} />;
  if (model.images.total === 0) {
    return (
      <Message
        title={trans.__('This folder has no images yet.')}
        hint={trans.__('Put JPEG, PNG or other image files into it or its subfolders, then read it again.')}
      >
        <Button onClick={() => void model.open()}>{trans.__('Read again')}</Button>
      </Message>
    );
  }
  return <Grid model={model} images={model.images} trans={trans} onOpen={onOpen} />;
}

/** Grey blocks at once would flicker on a fast server: they and the words come after a moment. */
function Opening({ trans }: { trans: TranslationBundle }): React.JSX.Element {
  return (
    <div className="dc-Opening">
      <p role="status">{trans.__('Opening the folder; the DermCap server may need a moment to start…')}</p>
      <div className="dc-Opening-blocks" aria-hidden="true">
        {Array.from({ length: 18 }, (_, i) => (
          <span key={i} className="dc-Skeleton" />
        ))}
      </div>
    </div>
  );
}

/** What is wrong while the folder stays usable. */
function Notices({
  model,
  trans,
}: {
  model: FolderModel;
  trans: TranslationBundle;
}): React.JSX.Element | null {
  const { problem, release } = model;
  if (model.phase !== 'ready') return null;
  const noRelease = !release
    ? trans.__(
        'There is no release to caption with. Name the folder of one in the variable DERMCAP_RELEASE_PATH and restart Jupyter.',
      )
    : release.problem && trans.__('The release “%1” cannot be used: %2', release.name, release.problem);
  if (!problem && !noRelease) return null;
  return (
    <div className="dc-Notices">
      {noRelease && <p role="status">{noRelease}</p>}
      {problem && (
        <p role="alert">
          <span>
            {problem.message} {problem.hint}
          </span>
          <Button small onClick={() => model.dismiss()}>
            {trans.__('OK')}
          </Button>
        </p>
      )}
    </div>
  );
}
