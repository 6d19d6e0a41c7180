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
    this.node.dataset['lmSuppressShortcuts'] = 'true';
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
