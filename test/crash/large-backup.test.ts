import { expect, test } from 'vitest';
import { restoresExactly } from '../backup/restores-exactly.ts';
import { createBlankDatabase } from '../db/blank-database.ts';
import { createScratchFolder, removeScratchFolder } from '../support/scratch-folder.ts';
import { createTestDatabase } from '../support/test-database.ts';

// Not a crash: here since it takes as long as one.
test('a backup of 100,000 memories taken while four writers run restores to exactly its snapshot', {
  timeout: 180_000,
}, async () => {
  const source = await createTestDatabase({ poolMax: 1 });
  const target = await createBlankDatabase();
  const folder = createScratchFolder();
  try {
    await restoresExactly({ source: source.connectionString, target: target.connectionString, folder });
    expect.hasAssertions();
  } finally {
    removeScratchFolder(folder);
    await target.drop();
    await source.drop();
  }
});
