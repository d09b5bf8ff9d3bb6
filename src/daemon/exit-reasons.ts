import { killLogPath, readKillLog } from './watchdog/kill-log.ts';

/**
 * Why an instance of this data directory died, where its watchdog has said so; null where nobody has: somebody's SIGKILL,
 * the kernel's out of memory, a power cut. Every exit leaves its reason (L13).
 */
export function reasonOfDeath(dataDir: string, instanceId: string): string | null {
  const last = readKillLog(killLogPath(dataDir)).findLast((record) => record.instanceId === instanceId);
  if (!last) return null;
  return last.killed
    ? `killed by its watchdog: ${last.reason}`
    : `died without a stop, after its watchdog had said: ${last.reason}`;
}
