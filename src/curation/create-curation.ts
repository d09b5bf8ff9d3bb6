import { type AgainDeps, consolidateAgain, releaseHeld } from './again.ts';
import { type ForgetDeps, type ForgetReport, forget } from './forget.ts';
import { type InvalidateDeps, type InvalidateReport, invalidate } from './invalidate.ts';

export interface CurationDeps extends AgainDeps, ForgetDeps, InvalidateDeps {}

/** What a person does to memories and observations. */
export interface Curation {
  invalidate(request: { readonly bankId: string; readonly memoryId: string }): Promise<InvalidateReport | null>;
  forget(request: {
    readonly bankId: string;
    readonly memoryId: string;
    readonly signal: AbortSignal;
  }): Promise<ForgetReport | null>;
  consolidateAgain(bankId: string): Promise<number>;
  releaseHeld(bankId: string): Promise<number>;
}

/** The door of the room. */
export function createCuration(deps: CurationDeps): Curation {
  return {
    invalidate: (request) => invalidate(deps, request),
    forget: (request) => forget(deps, request),
    consolidateAgain: (bankId) => consolidateAgain(deps, bankId),
    releaseHeld: (bankId) => releaseHeld(deps, bankId),
  };
}
