/** A server for the durability tests: the real one, without a model. Arguments: root, socket, cache. */
import { createServer, ReleaseCatalogue } from '@dermcap/kernel-server';

const [root, socketPath, cacheDir] = process.argv.slice(2);
const none = () => Promise.reject(new Error('There is no model here.'));
await createServer({
  root,
  listen: { socketPath },
  releases: new ReleaseCatalogue({ paths: [], clipDir: null, demoDir: null, describe: none }),
  engine: { open: none, loadPixels: none },
  cacheDir,
});
process.stdout.write('listens\n');
