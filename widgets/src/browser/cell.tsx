import type { ImageEntry } from '@dermcap/kernel-server/contract';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { StageChip } from '../shared/controls.js';
import { Glyph } from '../shared/glyphs.js';
import { stageLetters } from '../shared/wording.js';
import { captionedStages, type ImageStanding } from './standing.js';

export interface CellProps {
  entry: ImageEntry | undefined;
  standing: ImageStanding | null;
  index: number;
  column: number;
  selected: boolean;
  active: boolean;
  thumbnailUrl: string;
  /** Another number loads the thumbnail again. */
  thumbnailAttempt: number;
  imageHeight: number;
  trans: TranslationBundle;
  onThumbnailError: () => void;
}

/** One image of the grid: thumbnail, marks, name. Clicks and keys are the grid's. */
export function Cell(props: CellProps): React.JSX.Element {
  const { entry, standing, index, selected, active, trans } = props;
  const classes = ['dc-Cell', selected && 'dc-mod-selected', active && 'dc-mod-active']
    .filter(Boolean)
    .join(' ');
  return (
    <div
      role="gridcell"
      className={classes}
      data-index={index}
      tabIndex={active ? 0 : -1}
      aria-colindex={props.column + 1}
      aria-selected={selected}
      aria-label={entry && standing ? nameInWords(entry, standing, trans) : trans.__('Loading')}
      title={entry && (standing?.failure ? `${entry.path}\n${standing.failure.message}` : entry.path)}
    >
      <div className="dc-Cell-image" style={{ height: props.imageHeight }}>
        {!entry && <span className="dc-Skeleton" />}
        {entry && standing?.unreadable && <Glyph of="info" size={20} />}
        {entry && !standing?.unreadable && (
          <img
            key={props.thumbnailAttempt}
            src={props.thumbnailUrl}
            alt=""
            draggable={false}
            decoding="async"
            onError={props.onThumbnailError}
          />
        )}
      </div>
      {entry && (
        <span className="dc-Cell-check" aria-hidden="true">
          {selected && <Glyph of="check" size={12} />}
        </span>
      )}
      <div className="dc-Cell-marks" aria-hidden="true">
        {standing && <Marks standing={standing} trans={trans} />}
      </div>
      <div className="dc-Cell-name" aria-hidden="true">
        {entry ? entry.name : <span className="dc-Skeleton dc-mod-line" />}
      </div>
    </div>
  );
}

function Marks({
  standing,
  trans,
}: {
  standing: ImageStanding;
  trans: TranslationBundle;
}): React.JSX.Element {
  const { place, failure } = standing;
  if (place === 'captioning') return <span className="dc-mod-working">{trans.__('captioning')}</span>;
  if (place === 'queued') return <span>{trans.__('queued')}</span>;
  if (failure) {
    return (
      <span className="dc-mod-error">
        <Glyph of="close" size={10} /> {standing.unreadable ? trans.__('unreadable') : trans.__('failed')}
      </span>
    );
  }
  return (
    <>
      {captionedStages(standing).map(stage => (
        <StageChip key={stage} stage={stage} />
      ))}
    </>
  );
}

function nameInWords(entry: ImageEntry, standing: ImageStanding, trans: TranslationBundle): string {
  const { place, failure } = standing;
  const stages = captionedStages(standing);
  if (place) return `${entry.name}, ${place === 'queued' ? trans.__('queued') : trans.__('captioning')}`;
  if (failure) return `${entry.name}, ${failure.message}`;
  if (stages.length > 0) return `${entry.name}, ${trans.__('captioned by %1', stageLetters(stages))}`;
  return entry.name;
}
