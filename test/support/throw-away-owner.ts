/**
 * A process with a throw-away cluster that can be killed. Started with fork(); argument: the folder to make it in. Sends
 * the connection string.
 */
import { startThrowAwayCluster } from '../../src/db/embedded/throw-away-cluster.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { silentLog } from '../../src/telemetry/log.ts';

const [parent] = process.argv.slice(2);
if (parent === undefined) throw new Error('not to be imported: this is a process of its own');
const { connectionString } = await startThrowAwayCluster({ log: silentLog, clock: systemClock, parent });
process.send?.(connectionString);
// Stays until it is killed, or whoever started it is.
process.on('message', () => undefined);
