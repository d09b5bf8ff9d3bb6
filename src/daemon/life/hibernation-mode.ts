import type { Config } from '../../config/schema.ts';
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
  readonly env: Readonly<Record<string, string | undefined>>;
}): HibernationMode {
  const { hibernate, pid, marker, env } = facts;
  if (hibernate !== 'exit') return { kind: hibernate, warning: null };
  const parks = (why: string): HibernationMode => ({
    kind: 'park',
    warning: `ENGRAMD_HIBERNATE=exit parks instead: ${why}`,
  });
  if (pid === 1) return parks('this is process 1, and the end of it is the end of its container');
  if (!marker?.hasTimer) return parks('no timer would start it for what is due; `engramd service install` writes one');
  // Set by systemd and by launchd for what they start; without, this is somebody's terminal.
  if (!env.INVOCATION_ID && !env.XPC_SERVICE_NAME) return parks('it was not started by its service');
  return { kind: 'exit', warning: null };
}
