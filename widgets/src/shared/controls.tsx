import type { StageId } from '@dermcap/kernel-server/contract';
import * as React from 'react';
import { stageLetter } from './wording.js';

export interface ButtonProps {
  onClick: () => void;
  children: React.ReactNode;
  /** `primary`: the one action of a region; `quiet`: no frame. */
  look?: 'primary' | 'quiet';
  small?: boolean;
  disabled?: boolean;
  title?: string | undefined;
  /** The name for those who cannot see the icon; the text is the name otherwise. */
  label?: string;
  /** The key that does the same, as printed on the button. */
  keyName?: string;
  /** That key as `aria-keyshortcuts` spells it, where it differs from what is printed. */
  keyShortcut?: string;
}

/**
 * A real button in the panel's look, with its key printed on it. While it cannot be used it says so but keeps the
 * focus: one that lost it would leave keyboard users nowhere, and the panel without its keys.
 */
export function Button(props: ButtonProps): React.JSX.Element {
  const { look, small, label, keyName, keyShortcut, children, disabled, onClick, title } = props;
  const classes = ['dc-Button', look && `dc-mod-${look}`, small && 'dc-mod-small', label && 'dc-mod-icon'];
  return (
    <button
      type="button"
      className={classes.filter(Boolean).join(' ')}
      aria-label={label}
      aria-keyshortcuts={keyShortcut ?? keyName}
      aria-disabled={disabled || undefined}
      onClick={disabled ? undefined : onClick}
      title={title ?? label}
    >
      {children}
      {keyName && <Key name={keyName} />}
    </button>
  );
}

/** A key as printed on a control; its control carries `aria-keyshortcuts`, so this is for the eye only. */
export function Key({ name }: { name: string }): React.JSX.Element {
  return (
    <kbd className="dc-Key" aria-hidden="true">
      {name}
    </kbd>
  );
}

/** The coloured letter of a stage. */
export function StageChip({ stage }: { stage: StageId }): React.JSX.Element {
  return <span className={`dc-StageChip dc-stage-${stage}`}>{stageLetter(stage)}</span>;
}

/** A message that takes the place of a region's content: what is so, what to do. */
export function Message(props: {
  title: string;
  hint?: string | undefined;
  failed?: boolean;
  children?: React.ReactNode;
}): React.JSX.Element {
  return (
    <div
      className={`dc-Message${props.failed ? ' dc-mod-failed' : ''}`}
      role={props.failed ? 'alert' : undefined}
    >
      <p className="dc-Message-title">{props.title}</p>
      {props.hint && <p className="dc-Message-hint">{props.hint}</p>}
      {props.children && <div className="dc-Message-actions">{props.children}</div>}
    </div>
  );
}
