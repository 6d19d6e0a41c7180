import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { Button } from '../shared/controls.js';
import { Glyph } from '../shared/glyphs.js';
import { count } from '../shared/wording.js';
import { Captions } from './captions.js';
import { ImageView } from './imageview.js';
import type { CompareModel } from './model.js';
import { FIT, zoomed, type Zoom } from './zoom.js';

export interface ComparePaneProps {
  compare: CompareModel;
  trans: TranslationBundle;
  copy: (text: string) => void;
  onClose: () => void;
}

/** One image, what each stage says of it, and the way to the next. Zoom is kept from image to image. */
export function ComparePane({ compare, trans, copy, onClose }: ComparePaneProps): React.JSX.Element {
  const { folder, entry } = compare;
  const [zoom, setZoom] = React.useState<Zoom>(FIT);

  const onKeyDown = (event: React.KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    switch (event.key) {
      case 'ArrowLeft':
        compare.step(-1);
        break;
      case 'ArrowRight':
        compare.step(1);
        break;
      case 'Escape':
        onClose();
        break;
      case '+':
      case '=':
        setZoom(zoomed(zoom, 1));
        break;
      case '-':
        setZoom(zoomed(zoom, -1));
        break;
      case '0':
        setZoom(FIT);
        break;
      case 'c':
        // With nothing chosen, the image in view is what the key can mean.
        if (folder.selection.chosen.size > 0 || !entry) return;
        void folder.caption([entry.path]);
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  const place = trans.__('%1 of %2', count(compare.position + 1), count(compare.count));
  return (
    <section className="dc-Compare" aria-label={trans.__('Compare')} tabIndex={-1} onKeyDown={onKeyDown}>
      <div className="dc-Compare-header">
        <Button
          look="quiet"
          small
          label={trans.__('Back to the images')}
          keyShortcut="Escape"
          onClick={onClose}
        >
          <Glyph of="back" />
        </Button>
        <h2 title={entry?.path}>{entry?.name ?? trans.__('Loading…')}</h2>
        <span className="dc-Compare-place">
          {compare.amongChosen ? trans.__('%1 selected', place) : place}
        </span>
        <span className="dc-Spacer" />
        <Button
          small
          label={trans.__('Previous image')}
          keyName="←"
          keyShortcut="ArrowLeft"
          disabled={compare.position === 0}
          onClick={() => compare.step(-1)}
        >
          <Glyph of="previous" />
        </Button>
        <Button
          small
          label={trans.__('Next image')}
          keyName="→"
          keyShortcut="ArrowRight"
          disabled={compare.position >= compare.count - 1}
          onClick={() => compare.step(1)}
        >
          <Glyph of="next" />
        </Button>
      </div>
      <div className="dc-Compare-body">
        <ImageView
          key={entry?.path}
          folder={folder}
          entry={entry}
          zoom={zoom}
          onZoom={setZoom}
          trans={trans}
        />
        <div className="dc-Compare-captions" tabIndex={0} role="region" aria-label={trans.__('Captions')}>
          <Captions folder={folder} entry={entry} trans={trans} copy={copy} />
        </div>
      </div>
      <p className="dc-Compare-footer">{trans.__('Research use only, not for clinical use')}</p>
    </section>
  );
}
