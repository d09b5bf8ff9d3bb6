/** What the bench tells a daemon of its own, as JSON in the first argument. */
export interface StormSettings {
  readonly dataDir: string;
  readonly databaseUrl: string;
  readonly bankId: string;
  readonly modelId: string;
  /** The baseline: what production does in threads is done beside the requests. */
  readonly onMainThread: boolean;
}

/** `build`: neighbour lists, asked for by so many callers at once. */
export type StormOrder = { readonly kind: 'build'; readonly callers: number } | { readonly kind: 'stop' };

/** Counts by `kind outcome`, e.g. `matrix built`. */
export type BuildCounts = Readonly<Record<string, number>>;

export type StormMessage =
  | { readonly kind: 'ready'; readonly url: string; readonly socket: string }
  | { readonly kind: 'built'; readonly ms: number; readonly rows: number }
  | { readonly kind: 'failed'; readonly error: string }
  | { readonly kind: 'stopped'; readonly builds: BuildCounts; readonly peakRssBytes: number };
