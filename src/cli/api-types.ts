import type { z } from 'zod';
import type { requestedSchema } from '../api/routes/consolidation-routes.ts';
import type { costReportSchema } from '../api/routes/cost-routes.ts';
import type { forgottenSchema, invalidatedSchema } from '../api/routes/curation-routes.ts';
import type { digestListSchema, digestSchema } from '../api/routes/digest-routes.ts';
import type { pinnedSchema } from '../api/routes/pin-routes.ts';
import type {
  snapshotDiffSchema,
  snapshotListSchema,
  snapshotSchema,
  takenSnapshotSchema,
} from '../api/routes/snapshot-routes.ts';
import type { eventPageSchema, eventSchema } from '../api/routes/timeline-routes.ts';
import type {
  bankSchema,
  changeSetSchema,
  conflictSchema,
  dryRunSchema,
  explanationSchema,
  jobSchema,
  memorySchema,
  opSchema,
  recallResultSchema,
  runSchema,
  statusSchema,
  writeResultSchema,
} from '../api/schemas.ts';

/** What the routes answer, under the names that commands use. */
export type Bank = z.output<typeof bankSchema>;
export type ChangeSet = z.output<typeof changeSetSchema>;
export type ChangeOp = z.output<typeof opSchema>;
export type Conflict = z.output<typeof conflictSchema>;
export type CostReport = z.output<typeof costReportSchema>;
export type DigestList = z.output<typeof digestListSchema>;
export type DigestText = z.output<typeof digestSchema>;
export type DryRun = z.output<typeof dryRunSchema>;
export type Explanation = z.output<typeof explanationSchema>;
export type EventPage = z.output<typeof eventPageSchema>;
export type ForgottenMemory = z.output<typeof forgottenSchema>;
export type InvalidatedMemory = z.output<typeof invalidatedSchema>;
export type Job = z.output<typeof jobSchema>;
export type Memory = z.output<typeof memorySchema>;
export type PinnedMemory = z.output<typeof pinnedSchema>;
export type RecallResult = z.output<typeof recallResultSchema>;
export type RequestedConsolidation = z.output<typeof requestedSchema>;
export type Run = z.output<typeof runSchema>;
export type Snapshot = z.output<typeof snapshotSchema>;
export type SnapshotDiff = z.output<typeof snapshotDiffSchema>;
export type SnapshotList = z.output<typeof snapshotListSchema>;
export type Status = z.output<typeof statusSchema>;
export type TakenSnapshot = z.output<typeof takenSnapshotSchema>;
export type TimelineEvent = z.output<typeof eventSchema>;
export type WriteResult = z.output<typeof writeResultSchema>;
