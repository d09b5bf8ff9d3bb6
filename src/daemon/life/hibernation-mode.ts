import type { Config } from '../../config/schema.ts';
import type { InheritedSockets } from '../control/inherited-sockets.ts';
import type { ServiceMarker } from '../service-marker.ts';

export interface HibernationMode {
  readonly kind: Config['hibernate'];
  /** Why it is not what the settings ask for; null: it is. */
  readonly warning: string | null;
}

/**
 * A process that ends itself has to be started again when something is due and when somebody comes. Without a supervisor
 * that does both it would sleep for ever, so it parks instead, and says so.
 */
export function hibernationMode(facts: {
  readonly hibernate: Config['hibernate'];
  readonly pid: number;
  readonly marker: ServiceMarker | undefined;
  readonly inherited: InheritedSockets | undefined;
}): HibernationMode {
  const { hibernate, pid, marker, inherited } = facts;
  if (hibernate !== 'exit') return { kind: hibernate, warning: null };
  const parks = (why: string): HibernationMode => ({
    kind: 'park',
    warning: `ENGRAMD_HIBERNATE=exit parks instead: ${why}`,
  });
  if (pid === 1) return parks('this is process 1, and the end of it is the end of its container');
  if (marker?.kind === 'launchd') return parks('launchd would not start it for whoever comes');
  if (!marker?.hasTimer) return parks('no timer would start it for what is due; `engramd service install` writes one');
  // The environment of a service is inherited by whatever it starts; sockets are not. Both, since clients come by both.
  if (!inherited?.control.length || !inherited.http.length)
    return parks('systemd has handed it no sockets, so nothing would start it for whoever comes');
  return { kind: 'exit', warning: null };
}
