import { defineConfig } from 'vitest/config';

const slow = process.env.SAEKIT_SLOW === '1';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // `*.slow.test.ts`: minutes each; CI and `npm test -- --slow` run them.
    exclude: ['**/node_modules/**', 'dist/**', ...(slow ? [] : ['**/*.slow.test.ts'])],
    testTimeout: 60_000,
    // Nothing is fetched from the real hub; tests of the hub have one of their own.
    env: { HF_HUB_OFFLINE: '1' },
    // Two cores are the reference machine; every test file may itself start a worker.
    maxWorkers: 2,
    pool: 'forks',
  },
});
