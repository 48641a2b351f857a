import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['reflect-metadata'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    pool: 'forks',
    // The second is for scripts: .ci/run counts by it.
    reporters: ['default', ['json', { outputFile: '.vitest-report.json' }]],
  },
});
