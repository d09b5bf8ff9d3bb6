import type { ChangeOpRow } from '../store/change-ops.ts';

/** A vector as history keeps it: `array_send` bytes and the model that made it. */
export interface KeptVector {
  readonly bytes: Buffer | null;
  readonly model: string | null;
}

/** Bytes are compared where they are of one model; over a change of model the texts have to do (law L6). */
export function sameVector(a: KeptVector, b: KeptVector): boolean {
  if (a.bytes === null || b.bytes === null || a.model !== b.model) return true;
  return a.bytes.equals(b.bytes);
}

export function asStored(vector: KeptVector | null): ChangeOpRow['afterVector'] {
  if (!vector?.bytes || vector.model === null) return null;
  return { bytes: vector.bytes, model: vector.model };
}
