// Servers that fail as `--fault` says.
import { createServer } from 'node:http';
import { hangOnStdin, health, option } from './lifeline.mjs';

const faults = {
  // Ends at once, with a reason.
  crash() {
    process.stderr.write('opening postgres://reader:hunter2@db/studies\nthe disk is full\n');
    process.exit(3);
  },
  // Never listens.
  silent() {
    process.stderr.write('still thinking\n');
  },
  // Listens and never answers.
  mute() {
    createServer(() => undefined).listen(option('socket'));
  },
  // Does not end when it is asked to.
  stubborn() {
    process.on('SIGTERM', () => process.stderr.write('no\n'));
    createServer((_, response) => health(response)).listen(option('socket'));
  },
};
hangOnStdin();
faults[option('fault')]();
