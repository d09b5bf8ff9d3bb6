export interface BackupMeasured {
  readonly seconds: number;
  readonly idleMiB: number;
  readonly peakMiB: number;
  /** Of the files. */
  readonly bytes: number;
}
