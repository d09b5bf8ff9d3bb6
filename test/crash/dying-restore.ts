/**
 * A restore or a verification that stands still at a racepoint, to be killed there. Started with fork(); argument:
 * {@link DyingRestore} as JSON. Says `held` when it stands there.
 */
import { restore, type TakenBackup, verify } from '../backup/backup-bench.ts';

export interface DyingRestore {
  readonly what: 'restore' | 'verify';
  readonly point: string;
  readonly connectionString: string;
  readonly backup: TakenBackup;
}

const [given] = process.argv.slice(2);
if (given === undefined) throw new Error('not to be imported: this is a process of its own');
const { what, point, connectionString, backup } = JSON.parse(given) as DyingRestore;
// A test that was killed itself cannot end us any more.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

const racepoints = {
  async reach(name: string) {
    if (name !== point) return;
    process.send?.('held');
    await new Promise(() => undefined);
  },
};

if (what === 'restore') await restore(backup, { connectionString, replace: true, racepoints });
else await verify(backup, { connectionString, racepoints });
