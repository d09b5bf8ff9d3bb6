import type { Clock } from '../../telemetry/clock.ts';
import type { Log } from '../../telemetry/log.ts';
import type { ServerBinaries } from './binaries.ts';
import type { EmbeddedLayout } from './layout.ts';
import type { ServerUser } from './server-user.ts';

export interface EmbeddedPostgresOptions {
  /** Exists, is writable, and its instance lock is ours: nothing in here guards against a second supervisor. */
  readonly dataDir: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Ends a start that is under way; a server that it launched is stopped again. */
  readonly signal?: AbortSignal | undefined;
  /** On top of our settings, e.g. `{ fsync: 'off' }` where the data is thrown away anyhow. */
  readonly extraSettings?: Readonly<Record<string, string>>;
}

/** What the steps of a start share. */
export interface StartContext extends EmbeddedPostgresOptions {
  readonly layout: EmbeddedLayout;
  readonly binaries: ServerBinaries;
  readonly user: ServerUser | undefined;
  readonly password: string;
}
