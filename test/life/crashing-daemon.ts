import { loadConfig } from '../../src/config/load-config.ts';
import { runDaemon } from '../../src/daemon/run-daemon.ts';
import { systemClock } from '../../src/telemetry/clock.ts';
import { createLog } from '../../src/telemetry/log.ts';

/** A daemon in which, on SIGUSR2, something nobody thought of goes wrong. */
const { config } = loadConfig({ env: process.env });
process.on('SIGUSR2', () => {
  throw new Error('nobody thought of this');
});
process.exit(await runDaemon({ config, log: createLog({ level: 'info', pretty: false }), clock: systemClock }));
