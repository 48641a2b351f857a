import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['reflect-metadata'],
    // These only tell slow from hanging. Nothing is tried again: a wrong reply once is a wrong reply.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 10_000, interval: 20 } },
    pool: 'forks',
    // They wait more than they work: on two processors, too, two files go side by side.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // The second is for scripts: .ci/run counts by it.
    reporters: ['default', ['json', { outputFile: '.vitest-report.json' }]],
  },
});
