import { ConfigError } from '../../config/config-error.ts';
import { prepareDataDir } from '../../daemon/data-dir.ts';
import { removeServiceMarker, writeServiceMarker } from '../../daemon/service-marker.ts';
import type { Clock } from '../../telemetry/clock.ts';
import { type RunCommand, supervise } from './run-command.ts';
import { NoSupervisorError } from './service-errors.ts';
import { assertOurs, type PlacedFile, removeServiceFiles, stateOf, writeServiceFiles } from './service-files.ts';
import type { ServicePlan } from './service-plan.ts';

export interface ServiceDeps {
  readonly run: RunCommand;
  readonly clock: Pick<Clock, 'sleep'>;
  /** Tells the daemon that starts next that somebody wants it, so that it does not hibernate before it has served. */
  writeWakeSignal(dataDir: string): void | Promise<void>;
}

/**
 * Files, marker, wake signal, supervisor: in this order, since the daemon that the supervisor starts reads the two before
 * it. Where the supervisor refuses, the signal stays: whoever gets the daemon started still wants it awake.
 *
 * @throws ConfigError, NoSupervisorError, ForeignServiceFileError, ServiceFileError: nothing was changed then
 * @throws SupervisorError: files and signal are in place
 */
export async function installService(
  plan: ServicePlan,
  deps: ServiceDeps,
  options: { readonly isForced: boolean },
): Promise<void> {
  assertUsable(plan);
  if (plan.obstacle !== undefined) throw new NoSupervisorError(plan.obstacle);
  if (!options.isForced) assertOurs(plan.files, 'move it away, or replace it with --force');
  const isUpdate = plan.files.some((file) => stateOf(file) === 'drifted' || stateOf(file) === 'foreign');
  writeServiceFiles(plan.files);
  prepareDataDir(plan.dataDir);
  try {
    for (const command of plan.prepare) await supervise(deps.run, command);
    writeServiceMarker(plan.dataDir, plan.marker);
    await deps.writeWakeSignal(plan.dataDir);
    if (plan.marker.kind === 'launchd') await unload(plan, deps);
    for (const command of plan.start) await supervise(deps.run, command);
    if (isUpdate) for (const command of plan.restart) await supervise(deps.run, command);
  } catch (thrown) {
    // Without a supervisor behind it the daemon must not trust in a timer.
    removeServiceMarker(plan.dataDir);
    throw thrown;
  }
}

/** @throws ConfigError for settings that such a service could not have */
export function assertUsable({ unusable }: ServicePlan): void {
  if (unusable !== undefined) throw new ConfigError(unusable);
}

/**
 * Stops the service and takes its files away. The data stays.
 *
 * @returns whether there was anything
 * @throws ForeignServiceFileError, SupervisorError: nothing was removed then
 */
export async function uninstallService(
  plan: ServicePlan,
  deps: Pick<ServiceDeps, 'run'>,
  options: { readonly isForced: boolean },
): Promise<boolean> {
  const present: readonly PlacedFile[] = plan.files.filter((file) => stateOf(file) !== 'absent');
  if (!options.isForced) assertOurs(present, 'remove it yourself, or with --force');
  const isKnown = present.length > 0 && (await deps.run(plan.probe)).status === 0;
  if (isKnown) for (const command of plan.stop) await supervise(deps.run, command);
  removeServiceFiles(present);
  if (isKnown) for (const command of plan.forget) await supervise(deps.run, command);
  removeServiceMarker(plan.dataDir);
  return present.length > 0;
}

/** A stop takes up to 40 s; launchd refuses a label that it still has. */
const unloadMs = 45_000;
const lookEveryMs = 500;

async function unload(plan: ServicePlan, deps: ServiceDeps): Promise<void> {
  const isLoaded = async () => (await deps.run(plan.probe)).status === 0;
  if (!(await isLoaded())) return;
  for (const command of plan.stop) await supervise(deps.run, command);
  for (let waitedMs = 0; waitedMs < unloadMs && (await isLoaded()); waitedMs += lookEveryMs) {
    await deps.clock.sleep(lookEveryMs);
  }
}
