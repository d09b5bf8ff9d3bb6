/**
 * What every bank of the crash tests is given: a few memories that are consolidated in peace, and then a dozen more in
 * two scopes while the daemon dies. Duplicates, updates and twins meet both what is stored and each other.
 */
export interface WorkloadMemory {
  readonly text: string;
  readonly tags: readonly string[];
  readonly mentioned_at: string;
}

/** One POST: its Idempotency-Key is its place in the list. */
export type WorkloadRequest = readonly WorkloadMemory[];

const team = ['team'];

function said(text: string, day: string, tags: readonly string[] = []): WorkloadMemory {
  return { text, tags, mentioned_at: `${day}T09:00:00.000Z` };
}

export const seed: readonly WorkloadRequest[] = [
  [
    said('Ana works from the Lisbon office.', '2026-01-03'),
    said('Carmen wants her reports as PDF.', '2026-01-04'),
    said('Pavel prefers meetings in the morning.', '2026-01-05', team),
    said('The canteen serves breakfast.', '2026-01-06', team),
  ],
];

export const load: readonly WorkloadRequest[] = [
  [
    said('Ana works from the Lisbon office.', '2026-02-01'),
    said('Carmen wants her reports as spreadsheets.', '2026-02-02'),
  ],
  [said('The staging server listens on port 8443.', '2026-02-03')],
  [
    said('Pavel prefers meetings in the afternoon.', '2026-02-04', team),
    said('Ana works from the Lisbon office.', '2026-02-05', team),
    said('ana works from the lisbon office', '2026-02-05', team),
  ],
  [
    said('The staging server listens on port 8443.', '2026-02-06'),
    said('The staging server listens on port 8444.', '2026-02-06'),
    said('Farid is a fan of thrillers.', '2026-02-06'),
  ],
  [
    said('The canteen serves breakfast.', '2026-02-07', team),
    said('Hye-jin is on the waiting list.', '2026-02-08', team),
    said('Hye-jin is on the waiting list.', '2026-02-09', team),
  ],
];

export const everything: readonly WorkloadMemory[] = [...seed, ...load].flat();
