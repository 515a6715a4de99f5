// npm test: installs and builds what is missing, runs the tests, and closes with one line: N passed, N failed.
//   npm test                                  everything (about 5 minutes on two cores)
//   npm test -- src/sae/encode.test.ts        one file
//   npm test -- -t "ties"                     tests whose name matches
//   npm test -- --slow                        also the files named *.slow.test.ts, as CI does
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { installToTest, root, run, tryRun } from './lib.mjs';

await installToTest();
run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--if-stale']);

const slow = process.argv.includes('--slow');
const rest = process.argv.slice(2).filter((argument) => argument !== '--slow');
const report = join(root, '.cache', `vitest-${process.pid}.json`);
mkdirSync(join(root, '.cache'), { recursive: true });
const status = tryRun(
  process.execPath,
  [
    join(root, 'node_modules', 'vitest', 'vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...rest,
  ],
  { env: { ...process.env, ...(slow ? { SAEKIT_SLOW: '1' } : {}) } },
);
if (!existsSync(report)) {
  console.error('vitest wrote no report; the run did not finish.');
  process.exit(status || 1);
}
const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(
  readFileSync(report, 'utf8'),
);
rmSync(report);
// A file that fails before its first test (a syntax error, a missing import) counts as one failure.
const brokenFiles = testResults.filter(
  (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
);
const failed = numFailedTests + brokenFiles.length;
console.log(`\n${numPassedTests} passed, ${failed} failed, ${numPendingTests} skipped`);
process.exit(status === 0 && failed === 0 ? 0 : status || 1);
