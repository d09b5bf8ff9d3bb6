import type { RunCommand } from './run-command.ts';
import { type FileState, stateOf } from './service-files.ts';
import type { ServicePlan } from './service-plan.ts';

export interface ServiceStatus {
  readonly kind: 'systemd' | 'launchd';
  readonly scope: 'system' | 'user';
  /** All of its files are there. */
  readonly isInstalled: boolean;
  /** A file is not what this version would write for the settings that hold. */
  readonly isDrifted: boolean;
  readonly isEnabled: boolean;
  readonly isRunning: boolean;
  readonly files: readonly { readonly path: string; readonly state: FileState }[];
}

/** Asks the supervisor; changes nothing. */
export async function readServiceStatus(plan: ServicePlan, run: RunCommand): Promise<ServiceStatus> {
  const { marker } = plan;
  const files = plan.files.map((file) => ({ path: file.path, state: stateOf(file) }));
  const isInstalled = files.every(({ state }) => state !== 'absent');
  const known = {
    kind: marker.kind,
    scope: marker.scope,
    isInstalled,
    isDrifted: files.some(({ state }) => state === 'drifted' || state === 'foreign'),
    files,
  };
  if (!isInstalled) return { ...known, isEnabled: false, isRunning: false };
  if (marker.kind === 'launchd') {
    const { status, stdout } = await run(plan.probe);
    return { ...known, isEnabled: status === 0, isRunning: /^\s*state = running$/m.test(stdout) };
  }
  const systemctl = marker.scope === 'user' ? (['systemctl', '--user'] as const) : (['systemctl'] as const);
  const succeeds = async (verb: string) => (await run([...systemctl, verb, '--quiet', marker.unit])).status === 0;
  return { ...known, isEnabled: await succeeds('is-enabled'), isRunning: await succeeds('is-active') };
}
