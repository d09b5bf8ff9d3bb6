import { createDatabase } from '../../../src/db/database.ts';
import { createExactIndex } from '../../../src/store/vectors/exact-index.ts';
import { systemClock } from '../../../src/telemetry/clock.ts';
import { silentLog } from '../../../src/telemetry/log.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { createTestDatabase } from '../../support/test-database.ts';
import { describeVectorIndex } from './conformance.ts';
import type { VectorIndexFixture } from './conformance-rows.ts';

async function exactFixture(maxBytes?: number): Promise<VectorIndexFixture> {
  const database = await createTestDatabase();
  return {
    db: database.db,
    createIndex: (db) => createExactIndex({ db, log: silentLog, ...(maxBytes !== undefined && { maxBytes }) }),
    openDatabase: () =>
      createDatabase({
        connectionString: database.connectionString,
        poolMax: 5,
        applicationName: 'engramd-test-second',
        log: silentLog,
        clock: systemClock,
        metrics: createMetrics(),
      }),
    drop: () => database.drop(),
  };
}

describeVectorIndex('exact', () => exactFixture());

// No matrix fits into one byte: every search reads its rows.
describeVectorIndex('exact, nothing kept', () => exactFixture(1));
