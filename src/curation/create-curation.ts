import { currentEmbedder } from '../models/embedder.ts';
import { type AgainDeps, consolidateAgain, releaseHeld } from './again.ts';
import { type ForgetDeps, type ForgetReport, forget } from './forget.ts';
import { type InvalidateDeps, type InvalidateReport, invalidate } from './invalidate.ts';
import type { Named } from './named.ts';
import { type RejectReport, rejectChanges } from './reject.ts';
import { type ResolveDeps, type ResolveReport, resolveConflict } from './resolve-conflict.ts';
import { type ApproveReport, approveChanges, type ReviewDeps } from './review.ts';
import { type UndoDeps, type UndoReport, undoChanges } from './undo.ts';

export interface CurationDeps extends AgainDeps, ForgetDeps, InvalidateDeps, ReviewDeps, ResolveDeps, UndoDeps {}

/** What a person does to memories and observations. */
export interface Curation {
  invalidate(request: { readonly bankId: string; readonly memoryId: string }): Promise<InvalidateReport | null>;
  forget(request: {
    readonly bankId: string;
    readonly memoryId: string;
    readonly signal: AbortSignal;
  }): Promise<ForgetReport | null>;
  approve(request: Named & { readonly signal: AbortSignal }): Promise<ApproveReport>;
  reject(request: Named): Promise<RejectReport>;
  undo(request: Named & { readonly signal: AbortSignal }): Promise<UndoReport>;
  resolveConflict(request: {
    readonly bankId: string;
    readonly conflictId: string;
    readonly keep: 'left' | 'right' | 'both';
  }): Promise<ResolveReport>;
  consolidateAgain(bankId: string): Promise<number>;
  releaseHeld(bankId: string): Promise<number>;
}

/** The door of the room. */
export function createCuration(deps: CurationDeps): Curation {
  // One embedding model from the first look to the last write, which is refused if another holds by then.
  const atOneModel = async () => ({ ...deps, embedder: await currentEmbedder(deps.embedder) });
  return {
    invalidate: (request) => invalidate(deps, request),
    forget: (request) => forget(deps, request),
    approve: async (request) => approveChanges(await atOneModel(), request),
    reject: (request) => rejectChanges(deps, request),
    undo: async (request) => undoChanges(await atOneModel(), request),
    resolveConflict: (request) => resolveConflict(deps, request),
    consolidateAgain: (bankId) => consolidateAgain(deps, bankId),
    releaseHeld: (bankId) => releaseHeld(deps, bankId),
  };
}
