import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'dist/**'],
    testTimeout: 60_000,
    // Two cores are the reference machine; every test file may itself start a worker.
    maxWorkers: 2,
    pool: 'forks',
  },
});
