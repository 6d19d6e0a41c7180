import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { PageConfig } from '@jupyterlab/coreutils';
import { CommandIDs } from './commands.js';

/** Opens the folder that the server was told to open (`DermcapApp.open_folder`; `.` is the root). */
export const atStart: JupyterFrontEndPlugin<void> = {
  id: '@dermcap/jupyterlab:at-start',
  description: 'Opens the folder that the server was started for.',
  autoStart: true,
  activate: (app: JupyterFrontEnd) => {
    const folder = PageConfig.getOption('dermcapOpenFolder');
    if (!folder) return;
    // The panel comes on top of the restored layout, not under it.
    void app.restored.then(() =>
      app.commands.execute(CommandIDs.openFolder, { path: folder === '.' ? '' : folder }),
    );
  },
};
