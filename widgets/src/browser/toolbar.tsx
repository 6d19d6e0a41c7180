import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { Button } from '../shared/controls.js';
import { Glyph } from '../shared/glyphs.js';
import { LARGEST_THUMBNAIL, SMALLEST_THUMBNAIL } from '../shared/preferences.js';
import { count } from '../shared/wording.js';
import type { FolderModel } from './model.js';

/** Folder, release, selection and the one action of the panel. */
export function Toolbar({
  model,
  trans,
}: {
  model: FolderModel;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { images, selection, releases, release } = model;
  const total = images?.total ?? 0;
  const ready = model.phase === 'ready';
  return (
    <div className="dc-Toolbar" role="toolbar" aria-label={trans.__('Images and captioning')}>
      <Glyph of="folder" />
      <h2 className="dc-Toolbar-folder" title={model.folder || '/'}>
        {model.name || trans.__('All folders')}
      </h2>
      <span className="dc-Toolbar-count">
        {ready && model.filter === 'all' && trans._n('%1 image', '%1 images', total, count(total))}
        {ready && model.filter === 'failed' && trans.__('%1 failed', count(total))}
      </span>
      {model.filter === 'failed' && (
        <Button look="quiet" small onClick={() => model.setFilter('all')}>
          {trans.__('Show all')}
        </Button>
      )}
      <span className="dc-Spacer" />
      {releases.length > 1 && (
        <label className="dc-Toolbar-field">
          <span className="dc-Toolbar-label">{trans.__('Release')}</span>
          <select
            className="dc-Select"
            aria-label={trans.__('Release')}
            value={release?.id}
            disabled={model.running}
            onChange={event => model.chooseRelease(event.target.value)}
          >
            {releases.map(({ id, name, demo, problem }) => (
              <option key={id} value={id}>
                {problem
                  ? trans.__('%1 (cannot be used)', name)
                  : demo && !/demo/i.test(name)
                    ? trans.__('%1 (demo)', name)
                    : name}
              </option>
            ))}
          </select>
        </label>
      )}
      <Button
        small
        disabled={!ready || total === 0 || selection.chosen.size === total}
        title={trans.__('Select all images (Ctrl+A or ⌘A in the grid)')}
        onClick={() => selection.all(total)}
      >
        {trans.__('Select all')}
      </Button>
      <Button
        small
        disabled={selection.chosen.size === 0}
        title={trans.__('Select none (Esc in the grid)')}
        onClick={() => selection.none()}
      >
        {trans.__('Select none')}
      </Button>
      <label className="dc-Toolbar-field dc-Toolbar-size">
        <span className="dc-Toolbar-label">{trans.__('Size')}</span>
        <input
          type="range"
          className="dc-Slider"
          aria-label={trans.__('Thumbnail size')}
          min={SMALLEST_THUMBNAIL}
          max={LARGEST_THUMBNAIL}
          step={16}
          value={model.preferences.values.thumbnailSize}
          onChange={event => model.preferences.set({ thumbnailSize: Number(event.target.value) })}
        />
      </label>
      <Button look="quiet" small label={trans.__('Read the folder again')} onClick={() => void model.open()}>
        <Glyph of="refresh" />
      </Button>
      <Button
        look="primary"
        keyName="c"
        disabled={!model.canCaption || selection.chosen.size === 0}
        title={captionTitle(model, trans)}
        onClick={() => void model.captionChosen()}
      >
        {trans.__('Caption')}
      </Button>
    </div>
  );
}

/** Last part of the folder's path; the root's own name is not known before the server has answered. */
export function folderName(folder: string, trans: TranslationBundle): string {
  return folder.slice(folder.lastIndexOf('/') + 1) || trans.__('All folders');
}

function captionTitle(model: FolderModel, trans: TranslationBundle): string {
  if (model.running) return trans.__('A run is under way');
  if (!model.release) return trans.__('There is no release to caption with');
  if (model.release.problem) return model.release.problem;
  const n = model.selection.chosen.size;
  if (n === 0) return trans.__('Select images to caption them');
  return trans._n('Caption %1 image with %2', 'Caption %1 images with %2', n, count(n), model.release.name);
}
