import { useVirtualizer, defaultRangeExtractor, type Range } from '@tanstack/react-virtual';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import { Cell } from './cell.js';
import type { ImageList } from './images.js';
import { keyMove } from './keys.js';
import type { FolderModel } from './model.js';

const GAP = 4;
const SIDE_PADDING = 12;
/** Two lines of text under each thumbnail, and the cell's own padding. */
const TEXT_HEIGHT = 44;

export interface GridProps {
  model: FolderModel;
  images: ImageList;
  trans: TranslationBundle;
  /** Opens the image with the focus. */
  onOpen: () => void;
}

/**
 * The thumbnails as a grid of rows, of which only those on screen exist. The focus roves: one cell can be reached
 * by Tab, arrows move it, and its row stays in the document while it is scrolled away, so that it is not lost.
 */
export function Grid({ model, images, trans, onOpen }: GridProps): React.JSX.Element {
  const scroller = React.useRef<HTMLDivElement>(null);
  const width = useWidth(scroller);
  const { selection } = model;
  const { active, chosen } = selection;
  const size = model.preferences.values.thumbnailSize;
  const imageHeight = Math.round(size * 0.6875);
  const rowHeight = imageHeight + TEXT_HEIGHT + GAP;
  const columns = Math.max(1, Math.floor((width - 2 * SIDE_PADDING + GAP) / (size + GAP)));
  const activeRow = Math.floor(active / columns);

  // Its functions are called in the same rendering only, and nothing here is memoized by a compiler.
  // eslint-disable-next-line react-hooks/incompatible-library
  const virtualizer = useVirtualizer({
    count: width > 0 ? Math.ceil(images.total / columns) : 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 2,
    paddingStart: GAP,
    paddingEnd: GAP,
    rangeExtractor: React.useCallback(
      (range: Range) => {
        const rows = defaultRangeExtractor(range);
        if (activeRow >= range.count || rows.includes(activeRow)) return rows;
        return [...rows, activeRow].sort((a, b) => a - b);
      },
      [activeRow],
    ),
  });
  const rows = virtualizer.getVirtualItems();
  const onScreen = virtualizer.range;
  const first = (onScreen?.startIndex ?? 0) * columns;
  const last = ((onScreen?.endIndex ?? 0) + 1) * columns - 1;

  React.useEffect(() => images.show(first, last), [images, first, last]);
  React.useLayoutEffect(() => {
    virtualizer.measure();
    virtualizer.scrollToIndex(activeRow, { align: 'auto' });
  }, [virtualizer, rowHeight, columns, activeRow, images]);

  const focusMoved = React.useRef(false);
  React.useLayoutEffect(() => {
    if (!focusMoved.current) return;
    focusMoved.current = false;
    scroller.current?.querySelector<HTMLElement>(`[data-index="${active}"]`)?.focus({ preventScroll: true });
  });

  React.useLayoutEffect(() => {
    // A panel that was activated before it had images holds the focus for them.
    if (rows.length > 0 && document.activeElement?.matches('.dc-FolderView, .dc-FolderPanel')) {
      scroller.current?.querySelector<HTMLElement>('.dc-Cell[tabindex="0"]')?.focus({ preventScroll: true });
    }
    // When the first rows appear, not at every row.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [rows.length > 0]);

  const onKeyDown = (event: React.KeyboardEvent) => {
    const rowsOnScreen = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / rowHeight));
    const move = keyMove(event, { active, total: images.total, columns, rowsOnScreen });
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    if (move === 'open') onOpen();
    else if (move === 'all') selection.all(images.total);
    else if (move === 'none') selection.none();
    else if (move === 'toggle') selection.choose(active, 'toggle');
    else {
      focusMoved.current = true;
      selection.choose(move.to, move.how);
    }
  };

  const onClick = (event: React.MouseEvent) => {
    const cell = (event.target as Element).closest<HTMLElement>('[data-index]');
    if (!cell) return;
    const onCheck = (event.target as Element).closest('.dc-Cell-check') !== null;
    const how = event.shiftKey ? 'range' : event.ctrlKey || event.metaKey || onCheck ? 'toggle' : 'only';
    selection.choose(Number(cell.dataset['index']), how);
  };

  return (
    <div className="dc-Grid" ref={scroller}>
      <div
        role="grid"
        className="dc-Grid-rows"
        style={{ height: virtualizer.getTotalSize() }}
        aria-label={trans.__('Images')}
        aria-multiselectable="true"
        aria-rowcount={Math.ceil(images.total / columns)}
        aria-colcount={columns}
        onKeyDown={onKeyDown}
        onClick={onClick}
        onDoubleClick={onOpen}
        onFocus={event => {
          const index = (event.target as HTMLElement).dataset['index'];
          if (index !== undefined) selection.focus(Number(index));
        }}
        // Shift+click would select text between the two clicks.
        onMouseDown={event => event.shiftKey && event.preventDefault()}
      >
        {rows.map(row => (
          <div
            key={row.key}
            role="row"
            className="dc-Grid-row"
            aria-rowindex={row.index + 1}
            style={{
              transform: `translateY(${row.start}px)`,
              gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
            }}
          >
            {positions(row.index * columns, columns, images.total).map((index, column) => {
              const entry = images.at(index);
              const url = entry ? model.client.thumbnailUrl(entry, thumbnailPixels(size)) : '';
              return (
                <Cell
                  key={index}
                  entry={entry}
                  standing={entry ? model.standing(entry.path) : null}
                  index={index}
                  column={column}
                  selected={chosen.has(index)}
                  active={index === active}
                  thumbnailUrl={url}
                  thumbnailAttempt={entry ? model.thumbnailAttempt(entry.path) : 0}
                  imageHeight={imageHeight}
                  trans={trans}
                  onThumbnailError={() => entry && void model.thumbnailFailed(entry.path, url)}
                />
              );
            })}
          </div>
        ))}
      </div>
    </div>
  );
}

function positions(start: number, count: number, total: number): number[] {
  return Array.from({ length: Math.max(0, Math.min(count, total - start)) }, (_, i) => start + i);
}

/** Thumbnails come in few sizes, so that moving the slider does not make the server draw each image anew. */
function thumbnailPixels(size: number): number {
  const needed = size * 1.4 * (globalThis.devicePixelRatio || 1);
  return needed <= 256 ? 256 : 512;
}

function useWidth(element: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = React.useState(0);
  React.useLayoutEffect(() => {
    const node = element.current;
    if (!node) return;
    const observer = new ResizeObserver(() => {
      // A hidden panel has no width; the columns of before are better than one.
      if (node.clientWidth > 0) setWidth(node.clientWidth);
    });
    // Calls back at once, too.
    observer.observe(node);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
