import type { ChangeOpKind } from '../../store/change-ops.ts';
import type { NightConflict, NightOfBank, NightOp, NightPin, NightProposal } from '../../store/digest-rows.ts';
import type { DigestWindow } from '../../store/digests.ts';

/** A night as it is told: read from what the store says by now. */
export interface DigestView extends DigestWindow {
  readonly banks: readonly BankView[];
  /** Banks in which something happened, beside those that are told in full. */
  readonly otherBanks: readonly NightOfBank[];
  readonly steps: readonly {
    readonly name: string;
    readonly status: string;
    readonly note: string | null;
    readonly error: string | null;
  }[];
  readonly cost: {
    readonly calls: number;
    readonly tokens: number;
    readonly unpricedTokens: number;
    readonly nanoUsd: number;
  };
}

export interface BankView extends NightOfBank {
  /** Examples, the first of each kind. */
  readonly examples: readonly NightOp[];
  /** Examples, the newest of each change. */
  readonly pins: readonly NightPin[];
  readonly refusals: readonly { readonly validator: string; readonly times: number }[];
  readonly conflicts: readonly NightConflict[];
  readonly proposals: readonly NightProposal[];
  readonly parkedNow: readonly { readonly text: string; readonly reason: string | null }[];
}

/** In their order, with how many of each are shown where one bank is told of. */
export const told = [
  { op: 'create', title: 'Added', shown: 10 },
  { op: 'supersede', title: 'True before, not any more', shown: 8 },
  { op: 'revise', title: 'Said better', shown: 3 },
  { op: 'fold', title: 'Said twice, now one', shown: 4 },
  { op: 'retire', title: 'Retired: nothing supports it any more', shown: 4 },
] as const satisfies readonly { readonly op: ChangeOpKind; readonly title: string; readonly shown: number }[];

/** Pins that came or went, where one bank is told of. */
export const pinsShown = 8;
