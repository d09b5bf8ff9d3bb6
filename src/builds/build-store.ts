/** What a build is of. How large the bank is stands beside the key, not in it: see {@link isSameSize}. */
export interface BuildKey {
  readonly bankId: string;
  readonly kind: string;
  readonly key: string;
}

/** What was saved. */
export interface SavedBuild {
  readonly fence: number;
  readonly builtAt: Date;
  readonly ageSeconds: number;
  /** Rows it was built from. */
  readonly rows: number;
  /** Point in the order of changes up to which it knows them; text, compared by the server alone. */
  readonly seenXid: string;
  readonly isComplete: boolean;
  readonly payload: Uint8Array;
}

/**
 * The lease on building: a fence above all before it. `held`: somebody builds. `gone`: there is no such bank, and nothing
 * to wait for.
 */
export type Claim = { readonly fence: number } | 'held' | 'gone';

/**
 * Where what is built once a database lies, and who builds it: the port that the gate across daemons works on. Every
 * call is one short statement.
 */
export interface BuildStore {
  load(key: BuildKey): Promise<SavedBuild | null>;
  claim(key: BuildKey, holder: string, ttlMs: number): Promise<Claim>;
  /** False: the lease was lost. */
  renew(key: BuildKey, holder: string, fence: number, ttlMs: number): Promise<boolean>;
  /** False, and nothing written: the lease was lost, the bank is gone, or what is there is complete and this is not. */
  save(key: BuildKey, fence: number, build: Omit<SavedBuild, 'fence' | 'builtAt' | 'ageSeconds'>): Promise<boolean>;
  release(key: BuildKey, holder: string, fence: number): Promise<void>;
}
