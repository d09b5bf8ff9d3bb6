import type { AppDeps } from '../api/app-deps.ts';
import { createRpcDispatcher } from '../api/rpc.ts';
import type { StatusBoard } from '../api/status-board.ts';
import type { Config } from '../config/schema.ts';
import type { Clock } from '../telemetry/clock.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { App } from './compose.ts';
import { startControlServer } from './control/control-server.ts';
import type { InheritedControl, InheritedSockets } from './control/inherited-sockets.ts';
import { isSameSocket } from './control/unix-path.ts';
import { removeDaemonFile, writeDaemonFile } from './daemon-file.ts';
import type { Life } from './life/life.ts';
import { consumeWakeSignal } from './life/wake-signal.ts';
import { listen } from './listen.ts';
import type { Releasers } from './releasers.ts';
import { stopBoundsMs } from './stop-bounds.ts';
import type { SystemdNotify } from './systemd-notify.ts';
import { killLogPath } from './watchdog/kill-log.ts';
import { startWatchdog, type Watchdog } from './watchdog/watchdog.ts';

export interface ServeOptions {
  readonly config: Config;
  readonly app: App;
  readonly appDeps: AppDeps;
  readonly status: StatusBoard;
  readonly life: Life;
  readonly releasers: Releasers;
  readonly inherited?: InheritedSockets;
  readonly notify?: SystemdNotify;
  readonly onListening: () => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** The last part of a daemon's start: from here on it can be reached, lives, and is watched. */
export async function serve(options: ServeOptions): Promise<{ readonly url: string; readonly watchdog: Watchdog }> {
  const { config, app, appDeps, status, life, releasers, notify, clock, log, metrics } = options;
  const { control: inheritedControl = [], http: inheritedHttp = [] } = options.inherited ?? {};
  const { id: instanceId, version, startedAt } = appDeps.instance;

  const url = await listen(app, config, { inherited: inheritedHttp, log });
  const [, ...further] = inheritedHttp;
  if (further.length > 0) {
    releasers.add('further sockets', stopBoundsMs.daemonFile, async () => {
      for (const listener of further) listener.close();
    });
  }
  const control = await startControlServer({
    at: inheritedControl.length > 0 ? { inherited: inheritedControl } : { path: config.socket },
    handlers: { status, life: life.control },
    dispatch: createRpcDispatcher(appDeps),
    clock,
    log,
  });
  releasers.add('control socket', stopBoundsMs.control, () => control.stop());
  options.onListening();
  await writeDaemonFile(config.dataDir, {
    url,
    pid: process.pid,
    instanceId,
    version,
    startedAt: startedAt.toISOString(),
  });
  releasers.add('daemon.json', stopBoundsMs.daemonFile, () => removeDaemonFile(config.dataDir, instanceId));

  await life.start(consumeWakeSignal(config.dataDir) !== undefined);
  const watchdog = startWatchdog({
    socketPath: controlPath(inheritedControl, options),
    listenAgain: () => control.listenAgain(),
    logPath: killLogPath(config.dataDir),
    instanceId,
    notify: notify?.watchdog ?? null,
    log,
    metrics,
  });
  releasers.add('watchdog', stopBoundsMs.watchdog, () => watchdog.stop());
  await notify?.ready(`${life.view().state}, ${url}`);
  return { url, watchdog };
}

/** Where the control socket really is: a watchdog that asks elsewhere kills a daemon that is well. */
function controlPath(inherited: readonly InheritedControl[], { config, log }: ServeOptions): string {
  const paths = inherited.flatMap(({ path }) => path ?? []);
  const [first] = paths;
  if (first === undefined || paths.some((path) => isSameSocket(path, config.socket))) return config.socket;
  log.warn(
    `the supervisor listens on the control socket ${first.replace('\0', '@')}: commands look for it where ENGRAMD_SOCKET says, at ${config.socket}`,
  );
  return first;
}
