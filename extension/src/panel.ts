import { DermcapClient, FolderPanel, Preferences, dermcapIcon } from '@dermcap/widgets';
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { IDefaultFileBrowser, IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { CommandIDs } from './commands.js';
import { keepPreferences } from './preferences.js';

const PLUGIN_ID = '@dermcap/jupyterlab:plugin';

/** Opens folders of images as panels of the main area: commands, launcher card, palette, restoration. */
export const panel: JupyterFrontEndPlugin<void> = {
  id: PLUGIN_ID,
  description: 'Captions a folder of skin images and compares what the stages say.',
  autoStart: true,
  optional: [
    ITranslator,
    ICommandPalette,
    ILauncher,
    ILayoutRestorer,
    ISettingRegistry,
    IDefaultFileBrowser,
    IFileBrowserFactory,
  ],
  activate,
};

function activate(
  app: JupyterFrontEnd,
  translator: ITranslator | null,
  palette: ICommandPalette | null,
  launcher: ILauncher | null,
  restorer: ILayoutRestorer | null,
  settingRegistry: ISettingRegistry | null,
  fileBrowser: IDefaultFileBrowser | null,
  fileBrowsers: IFileBrowserFactory | null,
): void {
  const { commands, shell, serviceManager } = app;
  const trans = (translator ?? nullTranslator).load('dermcap');
  const client = new DermcapClient({ trans, serverSettings: serviceManager.serverSettings });
  const preferences = new Preferences();
  const tracker = new WidgetTracker<FolderPanel>({ namespace: 'dermcap' });
  if (settingRegistry) keepPreferences(preferences, settingRegistry, PLUGIN_ID);

  /** The folder's panel: the one that is open, or a new one. */
  const open = (path: string): FolderPanel => {
    // Contents paths may name a drive ("RTC:"); the server knows folders below its root only.
    const folder = serviceManager.contents.localPath(path).replace(/^\/+|\/+$/g, '');
    let widget = tracker.find(({ folder: shown }) => shown === folder);
    if (!widget) {
      widget = new FolderPanel({ client, folder, preferences, trans });
      widget.id = `dermcap-folder-${folder}`;
      shell.add(widget, 'main', { type: 'DermCap' });
      void tracker.add(widget);
    }
    shell.activateById(widget.id);
    return widget;
  };

  const selectedFolder = (): string | undefined => {
    const browser = fileBrowsers?.tracker.currentWidget ?? fileBrowser;
    const items = [...(browser?.selectedItems() ?? [])];
    return items.find(item => item.type === 'directory')?.path;
  };

  commands.addCommand(CommandIDs.openFolder, {
    label: trans.__('Open in DermCap'),
    caption: trans.__('Caption the images of this folder and compare the stages'),
    icon: dermcapIcon,
    describedBy: {
      args: {
        type: 'object',
        properties: {
          path: {
            type: 'string',
            description: trans.__(
              'Folder below the server’s root, empty for the root; the folder selected in the file browser if left out',
            ),
          },
        },
      },
    },
    isEnabled: args => typeof args['path'] === 'string' || selectedFolder() !== undefined,
    execute: args => {
      const path = typeof args['path'] === 'string' ? args['path'] : selectedFolder();
      return path === undefined ? undefined : open(path);
    },
  });

  commands.addCommand(CommandIDs.open, {
    label: args => (args['isPalette'] ? trans.__('Open the Current Folder in DermCap') : trans.__('DermCap')),
    caption: trans.__('Caption a folder of skin images and compare the stages'),
    icon: args => (args['isPalette'] ? undefined : dermcapIcon),
    describedBy: {
      args: {
        type: 'object',
        properties: {
          cwd: {
            type: 'string',
            description: trans.__('Folder to open; the one the file browser is in if left out'),
          },
          isPalette: { type: 'boolean', description: trans.__('Whether the command palette shows it') },
        },
      },
    },
    execute: args => open(typeof args['cwd'] === 'string' ? args['cwd'] : (fileBrowser?.model.path ?? '')),
  });

  palette?.addItem({ command: CommandIDs.open, category: trans.__('DermCap'), args: { isPalette: true } });
  launcher?.add({ command: CommandIDs.open, category: trans.__('Other'), rank: 1 });
  if (restorer) {
    void restorer.restore(tracker, {
      command: CommandIDs.openFolder,
      args: ({ folder }) => ({ path: folder }),
      name: ({ folder }) => folder || '/',
    });
  }
}
