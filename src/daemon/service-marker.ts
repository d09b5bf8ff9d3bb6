import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** What `service install` has told the supervisor of this machine about the daemon of a data directory. */
const serviceMarkerSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('systemd'),
    scope: z.enum(['system', 'user']),
    unit: z.string(),
    /** Whether something starts the daemon for what is due, without which it may not end itself to hibernate. */
    hasTimer: z.boolean(),
    /** The control socket that systemd listens on; where commands find the daemon. */
    socket: z.string(),
  }),
  z.object({
    kind: z.literal('launchd'),
    scope: z.enum(['system', 'user']),
    label: z.string(),
    hasTimer: z.boolean(),
  }),
]);

export type ServiceMarker = z.output<typeof serviceMarkerSchema>;

function markerPath(dataDir: string): string {
  return join(dataDir, 'service.json');
}

/** Undefined where there is none, or none that this version can read. */
export function readServiceMarker(dataDir: string): ServiceMarker | undefined {
  try {
    const parsed = serviceMarkerSchema.safeParse(JSON.parse(readFileSync(markerPath(dataDir), 'utf8')));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Complete or not there. Readable for the daemon, whichever user installs. */
export function writeServiceMarker(dataDir: string, marker: ServiceMarker): void {
  const path = markerPath(dataDir);
  const part = `${path}.${process.pid}.part`;
  rmSync(part, { force: true });
  writeFileSync(part, `${JSON.stringify(marker, null, 2)}\n`, { mode: 0o644, flag: 'wx' });
  renameSync(part, path);
}

export function removeServiceMarker(dataDir: string): void {
  rmSync(markerPath(dataDir), { force: true });
}
