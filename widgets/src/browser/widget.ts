import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';
import type { DermcapClient } from '../client/client.js';
import { CompareModel } from '../compare/model.js';
import { dermcapIcon } from '../shared/icon.js';
import type { Preferences } from '../shared/preferences.js';
import { FolderModel } from './model.js';
import { FolderView } from './panel.js';
import { folderName } from './toolbar.js';

type LuminoMessage = Parameters<ReactWidget['processMessage']>[0];

/** Lumino runs no shortcut for keys pressed inside an element that has it. */
const SUPPRESS = 'data-lm-suppress-shortcuts';

export interface FolderPanelOptions {
  client: DermcapClient;
  /** Path below the server's root, `''` for the root itself. */
  folder: string;
  preferences: Preferences;
  trans: TranslationBundle;
}

/** A folder's images and captions in the main area. */
export class FolderPanel extends ReactWidget {
  readonly model: FolderModel;
  private readonly compare: CompareModel;
  private readonly trans: TranslationBundle;

  constructor(options: FolderPanelOptions) {
    super();
    const { client, folder, preferences, trans } = options;
    this.model = new FolderModel(client, folder, preferences);
    this.compare = new CompareModel(this.model);
    this.trans = trans;
    this.addClass('dc-FolderPanel');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('DermCap: %1', folderName(folder, trans)));
    // Single letters are this panel's keys, not the notebook's commands.
    this.node.toggleAttribute(SUPPRESS, true);
    this.node.tabIndex = -1;
    this.title.label = folder ? folderName(folder, trans) : trans.__('DermCap');
    this.title.caption = trans.__('DermCap: %1', folder || '/');
    this.title.icon = dermcapIcon;
    this.title.closable = true;
    void this.model.open();
  }

  get folder(): string {
    return this.model.folder;
  }

  protected override render(): React.JSX.Element {
    const { model, compare, trans } = this;
    return React.createElement(FolderView, {
      model,
      compare,
      trans,
      copy: text => Clipboard.copyToSystem(text),
    });
  }

  /** Lets Ctrl, ⌘ and Alt combinations through to JupyterLab, which looks at the attribute when a key goes down. */
  handleEvent(event: KeyboardEvent): void {
    if (!this.node.contains(event.target as Node)) return;
    this.node.toggleAttribute(SUPPRESS, !(event.ctrlKey || event.metaKey || event.altKey));
  }

  protected override onAfterAttach(message: LuminoMessage): void {
    super.onAfterAttach(message);
    // The window comes before the document, where JupyterLab listens.
    window.addEventListener('keydown', this, true);
  }

  protected override onBeforeDetach(message: LuminoMessage): void {
    window.removeEventListener('keydown', this, true);
    super.onBeforeDetach(message);
  }

  protected override onActivateRequest(): void {
    const { node } = this;
    const cell = node.querySelector<HTMLElement>('.dc-Cell[tabindex="0"]');
    (cell ?? node.querySelector<HTMLElement>('.dc-FolderView') ?? node).focus();
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.compare.dispose();
    this.model.dispose();
    super.dispose();
  }
}
