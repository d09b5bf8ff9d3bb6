import { readServiceMarker, type ServiceMarker } from '../../daemon/service-marker.ts';
import { type RunCommand, runCommand, type SupervisorCommand, supervise } from './run-command.ts';
import { launchdDomain } from './service-plan.ts';

interface SupervisorDeps {
  readonly run?: RunCommand;
  readonly uid?: number;
}

/**
 * Has the supervisor of this data directory start its daemon, and returns false where none was installed. Whoever calls
 * has written the wake signal before. One that runs is left alone.
 *
 * @throws SupervisorError with what it said
 */
export async function startThroughSupervisor(dataDir: string, deps: SupervisorDeps = {}): Promise<boolean> {
  const marker = readServiceMarker(dataDir);
  if (!marker) return false;
  await supervise(deps.run ?? runCommand, startCommand(marker, deps.uid ?? process.getuid?.() ?? 0));
  return true;
}

function startCommand(marker: ServiceMarker, uid: number): SupervisorCommand {
  switch (marker.kind) {
    case 'systemd':
      return ['systemctl', ...(marker.scope === 'user' ? ['--user'] : []), 'start', `${marker.unit}.service`];
    case 'launchd':
      // Never with -k, which kills the one that runs, in the middle of whatever it does.
      return ['launchctl', 'kickstart', `${launchdDomain(marker.scope, uid)}/${marker.label}`];
  }
}
