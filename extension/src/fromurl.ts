import { IRouter, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { CommandIDs } from './commands.js';

const PARAMETER = 'dermcap';

/** Opens DermCap on the folder named in the address (`/lab?dermcap=images`; empty for the root) and tidies the address. */
export const fromUrl: JupyterFrontEndPlugin<void> = {
  id: '@dermcap/jupyterlab:from-url',
  description: 'Opens the folder that the address of the page names.',
  autoStart: true,
  requires: [IRouter],
  activate: (app: JupyterFrontEnd, router: IRouter) => {
    const { commands } = app;
    commands.addCommand(CommandIDs.openFromUrl, {
      describedBy: {
        args: {
          type: 'object',
          properties: {
            search: { type: 'string', description: 'Query of the address, with its question mark' },
          },
        },
      },
      execute: async args => {
        const folder = new URLSearchParams(String(args['search'] ?? '')).get(PARAMETER);
        if (folder === null) return;
        // The address as it is now: other routes may have taken their own parameters out of it.
        const { path, search, hash } = router.current;
        const query = new URLSearchParams(search ?? '');
        query.delete(PARAMETER);
        router.navigate(`${path}${query.size > 0 ? `?${query}` : ''}${hash ?? ''}`, { skipRouting: true });
        // The panel comes on top of the restored layout, not under it.
        await app.restored;
        await commands.execute(CommandIDs.openFolder, { path: folder });
      },
    });
    router.register({ command: CommandIDs.openFromUrl, pattern: /[?&]dermcap(=|&|#|$)/ });
  },
};
