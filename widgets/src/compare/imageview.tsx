import type { ImageEntry } from '@dermcap/kernel-server/contract';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { FolderModel } from '../browser/model.js';
import { RequestError } from '../client/error.js';
import { Button, Message } from '../shared/controls.js';
import { Glyph } from '../shared/glyphs.js';
import { FIT, panned, zoomed, type Zoom } from './zoom.js';

export interface ImageViewProps {
  folder: FolderModel;
  entry: ImageEntry | undefined;
  zoom: Zoom;
  onZoom: (zoom: Zoom) => void;
  trans: TranslationBundle;
}

/** The image itself, fitted, zoomed by buttons and dragged when larger than its frame. */
export function ImageView({ folder, entry, zoom, onZoom, trans }: ImageViewProps): React.JSX.Element {
  const [state, setState] = React.useState<'loading' | 'shown' | RequestError>('loading');
  const [attempt, setAttempt] = React.useState(0);
  const [size, setSize] = React.useState('');
  const url = entry ? folder.client.imageUrl(entry) : '';

  const onError = () => {
    void folder.client.explain(url).then(reason => {
      if (reason) setState(reason);
      // It can be loaded after all: the connection was away for a moment. Once more, not for ever.
      else if (attempt % 3 < 2) setAttempt(attempt + 1);
      else {
        setState(
          new RequestError('image-undecodable', trans.__('The browser cannot show this image.'), {
            hint: trans.__('The file may be damaged or cut short.'),
          }),
        );
      }
    });
  };
  const onPointerMove = (event: React.PointerEvent<HTMLDivElement>) => {
    if (event.buttons !== 1 || zoom.scale === 1) return;
    const { clientWidth, clientHeight } = event.currentTarget;
    onZoom(panned(zoom, event.movementX, event.movementY, clientWidth, clientHeight));
  };

  return (
    <div className="dc-ImageView">
      <div
        className={`dc-ImageView-frame${zoom.scale > 1 ? ' dc-mod-zoomed' : ''}`}
        onPointerDown={event => event.currentTarget.setPointerCapture(event.pointerId)}
        onPointerMove={onPointerMove}
      >
        {typeof state === 'object' ? (
          <Message failed title={state.message} hint={state.hint}>
            <Button onClick={() => (setState('loading'), setAttempt(attempt + 1))}>
              {trans.__('Retry')}
            </Button>
          </Message>
        ) : (
          entry && (
            <img
              key={attempt}
              src={url}
              alt={trans.__('Skin image %1', entry.name)}
              draggable={false}
              className={state === 'loading' ? 'dc-mod-loading' : ''}
              style={{ transform: `translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})` }}
              onLoad={event => {
                setSize(`${event.currentTarget.naturalWidth} × ${event.currentTarget.naturalHeight}`);
                setState('shown');
              }}
              onError={onError}
            />
          )
        )}
      </div>
      <div className="dc-ImageView-bar" role="group" aria-label={trans.__('Zoom')}>
        <Button
          small
          look="quiet"
          keyName="-"
          label={trans.__('Zoom out')}
          onClick={() => onZoom(zoomed(zoom, -1))}
        >
          <Glyph of="minus" />
        </Button>
        <span className="dc-ImageView-scale">{`${Math.round(zoom.scale * 100)} %`}</span>
        <Button
          small
          look="quiet"
          keyName="+"
          label={trans.__('Zoom in')}
          onClick={() => onZoom(zoomed(zoom, 1))}
        >
          <Glyph of="plus" />
        </Button>
        <Button small look="quiet" keyName="0" label={trans.__('Fit the image')} onClick={() => onZoom(FIT)}>
          <Glyph of="fit" />
        </Button>
        <span className="dc-Spacer" />
        <span className="dc-ImageView-size">{size}</span>
      </div>
    </div>
  );
}
