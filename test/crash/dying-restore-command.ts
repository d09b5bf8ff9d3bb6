/**
 * `engramd backup restore --replace`, which dies at a point. Started with fork(); argument: the point. Settings come from
 * the environment.
 */
import { Command } from 'commander';
import { addRestore } from '../../src/cli/backup-restore.ts';
import { createTerminal } from '../../src/cli/terminal.ts';
import { systemClock } from '../../src/telemetry/clock.ts';

const [point] = process.argv.slice(2);
if (point === undefined) throw new Error('not to be imported: this is a process of its own');

const program = new Command('engramd').option('--json');
addRestore(
  program.command('backup'),
  {
    terminal: createTerminal(process.stdout, process.stderr, process.env),
    env: process.env,
    stdin: process.stdin,
    clock: systemClock,
    interruptible: (work) => work(new AbortController().signal),
    exitWith: () => undefined,
  },
  {
    racepoints: {
      async reach(name) {
        if (name !== point) return;
        process.kill(process.pid, 'SIGKILL');
        // The kernel may take a moment; not one instruction of what comes next runs in it.
        for (;;);
      },
    },
  },
);
await program.parseAsync(['node', 'engramd', 'backup', 'restore', '--replace']);
