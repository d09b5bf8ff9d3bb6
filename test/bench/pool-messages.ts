/** What the bench tells its worker, as JSON in the first argument. */
export interface WorkerSettings {
  readonly databaseUrl: string;
  readonly modelUrl: string;
  readonly banks: readonly string[];
  readonly poolMax: number;
  readonly concurrency: number;
  readonly memoriesPerCall: number;
  /** The baseline: a connection of the pool is checked out for the whole of each call. */
  readonly holdsConnection: boolean;
}

export type WorkerOrder = 'go' | 'stop';

export type WorkerMessage = { readonly kind: 'ready' } | { readonly kind: 'stopped'; readonly report: WorkerReport };

export interface WorkerReport {
  /** How long connections of the pool were checked out, ascending, in milliseconds. */
  readonly holdsMs: readonly number[];
  readonly cpuMs: number;
  readonly peakRssBytes: number;
  /** Calls of models refused because their caller held a connection; anything above 0 is a bug. */
  readonly violations: number;
  /** Batches and op groups that had to be decided again, by reason. */
  readonly replans: Readonly<Record<string, number>>;
  /** Mean time that a batch spent in each of its phases; where a bound is missed, what to look at first. */
  readonly phaseMs: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
}
