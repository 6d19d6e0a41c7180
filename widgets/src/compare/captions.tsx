import type { Caption, ImageEntry, StageId } from '@dermcap/kernel-server/contract';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';
import type { FolderModel } from '../browser/model.js';
import { captionedStages } from '../browser/standing.js';
import { Button, Message, StageChip } from '../shared/controls.js';
import { Glyph } from '../shared/glyphs.js';
import { decodingSummary, duration, settingsThatDiffer, stageName } from '../shared/wording.js';
import { markDifferences, type Piece } from './difference.js';

export interface CaptionsProps {
  folder: FolderModel;
  entry: ImageEntry | undefined;
  trans: TranslationBundle;
  copy: (text: string) => void;
}

/** The stages' captions of one image in equal columns, or in words why there are none. */
export function Captions({ folder, entry, trans, copy }: CaptionsProps): React.JSX.Element {
  if (!entry) return <Placeholder />;
  const standing = folder.standing(entry.path);
  const made = captionedStages(standing);
  const captionNow = () => void folder.caption([entry.path]);

  if (standing.place) {
    const words = standing.place === 'queued' ? trans.__('Waiting for its turn…') : trans.__('Captioning…');
    return <Placeholder words={words} />;
  }
  if (standing.failure && made.length === 0) {
    // The image's own place says what is wrong with the file.
    const { message, hint } = standing.failure;
    const title = standing.unreadable ? trans.__('No captions: the image cannot be read.') : message;
    return (
      <Message failed title={title} hint={standing.unreadable ? undefined : hint}>
        <Button disabled={!folder.canCaption} onClick={captionNow}>
          {trans.__('Retry')}
        </Button>
      </Message>
    );
  }
  if (made.length === 0) {
    return (
      <Message title={trans.__('Not captioned yet')} hint={whyNot(folder, trans)}>
        <Button look="primary" disabled={!folder.canCaption} onClick={captionNow}>
          {trans.__('Caption this image')}
        </Button>
      </Message>
    );
  }
  // Columns of the release's stages keep their place even before each has its caption.
  const columns: StageId[] = [...new Set([...made, ...folder.stages])].sort();
  const [left, right] = made.map(stage => standing.captions[stage]!);
  const differ = left && right ? settingsThatDiffer(left, right, trans) : [];
  const marked = left && right ? markDifferences(left.caption, right.caption) : null;
  return (
    <>
      {standing.failure && (
        <p className="dc-Captions-note dc-mod-error">
          {trans.__('The last attempt failed: %1 These are earlier captions.', standing.failure.message)}
        </p>
      )}
      {differ.length > 0 && (
        <p className="dc-Captions-note">
          {trans.__('Beside the stage, these captions differ in: %1.', differ.join(', '))}
        </p>
      )}
      <div className="dc-Captions-columns">
        {columns.map(stage => {
          const caption = standing.captions[stage];
          const at = made.indexOf(stage);
          return (
            <section key={stage} className="dc-Caption" aria-label={stageName(stage, trans)}>
              <header>
                <StageChip stage={stage} />
                <h3>{stageName(stage, trans)}</h3>
                <span className="dc-Spacer" />
                {caption && (
                  <Button
                    small
                    look="quiet"
                    label={trans.__('Copy the caption of %1', stageName(stage, trans))}
                    onClick={() => copy(caption.caption)}
                  >
                    <Glyph of="copy" />
                  </Button>
                )}
              </header>
              {caption ? (
                <>
                  <CaptionText
                    pieces={marked?.[at] ?? [{ text: caption.caption, presence: 'both' }]}
                    stage={stage}
                  />
                  <Details caption={caption} trans={trans} />
                </>
              ) : (
                <p className="dc-Caption-none">
                  {trans.__('Not captioned by %1 yet.', stageName(stage, trans))}
                </p>
              )}
            </section>
          );
        })}
      </div>
      {marked && <Legend trans={trans} />}
    </>
  );
}

function CaptionText({ pieces, stage }: { pieces: Piece[]; stage: StageId }): React.JSX.Element {
  return (
    <p className={`dc-Caption-text dc-stage-${stage}`}>
      {pieces.map(({ text, presence }, i) => {
        if (presence === 'only') return <mark key={i}>{text}</mark>;
        return (
          <span key={i} className={presence === 'moved' ? 'dc-mod-moved' : undefined}>
            {text}
          </span>
        );
      })}
    </p>
  );
}

function Legend({ trans }: { trans: TranslationBundle }): React.JSX.Element {
  return (
    <p className="dc-Captions-legend">
      <span className="dc-stage-a">
        <mark>{trans.__('only in A')}</mark>
      </span>{' '}
      <span className="dc-stage-b">
        <mark>{trans.__('only in B')}</mark>
      </span>{' '}
      <span className="dc-mod-moved">{trans.__('in both, but elsewhere')}</span> {trans.__('in both')}
    </p>
  );
}

function Details({ caption, trans }: { caption: Caption; trans: TranslationBundle }): React.JSX.Element {
  const rows: [string, React.ReactNode, string?][] = [
    [trans.__('Release'), caption.release.name, `sha256 ${caption.release.sha256}`],
    [trans.__('Precision'), `${caption.precision}, ${caption.provider}`],
    [
      trans.__('Decoding'),
      decodingSummary(caption.decoding, trans),
      JSON.stringify(caption.decoding, null, 1),
    ],
    [
      trans.__('Image'),
      caption.autoOrient
        ? trans.__('%1, turned by EXIF', caption.preprocess)
        : trans.__('%1, not turned', caption.preprocess),
    ],
    [trans.__('Time'), duration(caption.ms, trans)],
  ];
  return (
    <div className="dc-Caption-details">
      <dl>
        {rows.map(([name, value, title]) => (
          <React.Fragment key={name}>
            <dt>{name}</dt>
            <dd title={title}>{value}</dd>
          </React.Fragment>
        ))}
      </dl>
      <details>
        <summary>{trans.__('Prompt')}</summary>
        <p>{caption.prompt || trans.__('(empty)')}</p>
      </details>
    </div>
  );
}

function Placeholder({ words }: { words?: string }): React.JSX.Element {
  return (
    <div className="dc-Captions-placeholder">
      {words && <p role="status">{words}</p>}
      <div className="dc-Captions-columns" aria-hidden="true">
        {[0, 1].map(column => (
          <div key={column} className="dc-Caption">
            {[100, 94, 97, 60].map((width, line) => (
              <span key={line} className="dc-Skeleton dc-mod-line" style={{ width: `${width}%` }} />
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}

function whyNot(folder: FolderModel, trans: TranslationBundle): string | undefined {
  if (folder.running) return trans.__('A run is under way; this image is not part of it.');
  return folder.release?.problem ?? undefined;
}
