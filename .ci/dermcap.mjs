// npm run dermcap -- …: the command line, built first if its source has changed.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { buildTypeScript, environment, installPackages, main, node, root } from './steps.mjs';

main(async () => {
  await installPackages();
  await buildTypeScript();
  const script = join(root, 'kernel-server', 'lib', 'cli.js');
  // Paths are the caller's, who may stand in another folder (npm changes to the repository).
  const cwd = process.env.INIT_CWD ?? process.cwd();
  const child = spawn(node(), [script, ...process.argv.slice(2)], {
    cwd,
    env: environment(),
    stdio: 'inherit',
  });
  process.exitCode = await new Promise(resolve => child.on('exit', code => resolve(code ?? 1)));
});
