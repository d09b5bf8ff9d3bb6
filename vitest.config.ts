import { defineConfig } from 'vitest/config';

/** Real daemons and commands, killed, restored and left to sleep: most of their time is waiting, and a suite of their own. */
const processes = ['test/crash/**/*.test.ts', 'test/life/**/*.test.ts'];

const onPostgres = {
  globalSetup: ['test/support/global-postgres.ts'],
  setupFiles: ['test/support/lease-backstop.ts'],
  pool: 'forks' as const,
  maxWorkers: 2,
  testTimeout: 30_000,
  hookTimeout: 60_000,
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'default',
          include: ['test/**/*.test.ts'],
          exclude: ['test/containers/**', ...processes],
          ...onPostgres,
        },
      },
      {
        test: {
          name: 'processes',
          include: processes,
          ...onPostgres,
        },
      },
      {
        test: {
          name: 'containers',
          include: ['test/containers/**/*.test.ts'],
          pool: 'forks',
          maxWorkers: 1,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
