/**
 * How often an SAE that is another one than it should be is caught: twelve ways to go wrong, planted in the files of every kind of every format
 * that is read (support/planted.ts), with and without recorded numbers, beside those that are right. The SAE is the demo's; other kinds are made of it (support/sae-kinds.ts). The count is test/golden/sae/self-test.txt.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import '../src/platform/node.ts';
import { openCorpus } from '../src/data/index.ts';
import { openModel } from '../src/models/index.ts';
import {
  loadSae,
  openSae,
  type RecordedNumbers,
  type Sae,
  selfTest,
  selfTestText,
} from '../src/sae/index.ts';
import { LATE as hook, late } from './support/demo.ts';
import { mistakes } from './support/planted.ts';
import { filesOf, kindsOf, otherBasis, type Written } from './support/sae-kinds.ts';

const layer = Number(/\d+/.exec(hook)![0]);
const hooks = {
  right: hook,
  'wrong hook': `blocks.${layer}.hook_mlp_out`,
  'layer off by one': `blocks.${layer - 1}.hook_resid_post`,
};
/** Rows of one sample. */
const ROWS = 1000;
const SAMPLES = 7;

let written: Written[];
/** Samples of rows at each hook; the first is the one that numbers are recorded on. */
const rows: Record<string, Float32Array[]> = {};

beforeAll(async () => {
  const demo = (await loadSae(late.path)) as Sae<'topk'>;
  const model = await openModel('demo/model');
  const corpus = await openCorpus({ data: ['demo/corpus/train.jsonl.gz'] });
  const { D } = demo.config;
  const all: Record<string, number[]> = { right: [], 'wrong hook': [], 'layer off by one': [] };
  for (let i = 0; all.right!.length < SAMPLES * ROWS * D; i++) {
    const { text } = await corpus.heldout.get((i * 37) % corpus.heldout.count);
    const { cache } = await model.runWithCache(text.slice(0, 240), Object.values(hooks));
    // The first position is BOS, which SAEs are not trained on.
    for (const [kind, name] of Object.entries(hooks))
      for (const value of cache[name]!.data.subarray(D)) all[kind]!.push(value);
  }
  for (const [kind, values] of Object.entries(all))
    rows[kind] = Array.from({ length: SAMPLES }, (_, s) =>
      Float32Array.from(values.slice(s * ROWS * D, (s + 1) * ROWS * D)),
    );
  await corpus.close();
  await model.close();
  const some = new Float32Array(SAMPLES * ROWS * D);
  for (const [s, sample] of rows.right!.entries()) some.set(sample, s * ROWS * D);
  written = filesOf(await kindsOf(demo, rows.right![0]!, some));
}, 240_000);

/** Which rows an SAE is for, by the hook that its files name; where a format says the place by the layer alone, by that. */
function rowsFor({ config }: Sae): keyof typeof hooks {
  const said = String(config.metadata.hook_name);
  const names = Object.keys(hooks) as (keyof typeof hooks)[];
  const found = names.find((name) => hooks[name] === said);
  return found ?? (Number(/\d+/.exec(said)?.[0]) === layer ? 'right' : 'layer off by one');
}

/** Reading can refuse what was planted: then the mistake is caught before any test. */
const readOrRefused = (place: string): Promise<Sae | undefined> => loadSae(place).catch(() => undefined);

test('of the planted mistakes nine in ten and more are caught, and nothing that is right is refused', async () => {
  const root = await mkdtemp(join(tmpdir(), 'saekit-self-test-'));
  const lines: string[] = [];
  const missed: Record<string, number> = {};
  const missedAlone: Record<string, number> = {};
  const count = { caught: 0, alone: 0, planted: 0, inFiles: 0, refused: 0, alarms: 0, good: 0 };
  const add = (to: Record<string, number>, name: string) => {
    to[name] = (to[name] ?? 0) + 1;
  };
  try {
    for (const [i, { format, kind, write }] of written.entries()) {
      const folder = join(root, String(i));
      const place = await write(folder);
      const opened = await openSae(place);
      await opened.close();
      expect(opened.format).toBe(format);
      const sae = await loadSae(place);
      expect([format, kind, rowsFor(sae)]).toEqual([format, kind, 'right']);
      const { D, Dout } = sae.config;
      const pair = (
        x: Float32Array,
        right = x,
        change = (v: Float32Array): Float32Array => v,
      ): { x: Float32Array; y?: Float32Array } => ({
        x: change(x),
        ...(Dout === undefined ? {} : { y: change(otherBasis(right, D)) }),
      });
      const first = await selfTest(sae, { ...pair(rows.right![0]!), recorded: {} });
      expect(`${format}, ${kind}: ${selfTestText(first)}`).toMatch(/measured \(L0 \d/);
      const recorded: RecordedNumbers = {
        fvu: first.fvu!,
        ...(sae.config.architecture === 'topk' ? {} : { l0: first.l0! }),
      };
      for (const x of rows.right!) {
        count.good++;
        if ((await selfTest(sae, { ...pair(x), recorded })).state !== 'verified') {
          count.alarms++;
          lines.push(`${format} ${kind}: false alarm`);
        }
      }
      count.good++;
      if ((await selfTest(sae)).state !== 'unverified') count.alarms++;
      const marks: string[] = [];
      const some = 400 * D;
      const [copy, fresh] = [join(root, 'copy'), join(root, 'fresh')];
      for (const [name, plant] of Object.entries(mistakes)) {
        await rm(copy, { recursive: true, force: true });
        await rm(fresh, { recursive: true, force: true });
        await cp(folder, copy, { recursive: true });
        const files = { folder: copy, place: place.replace(folder, copy), fresh };
        const wrong = await plant({ ...files, format, write, sae }, hooks);
        if (!wrong) {
          marks.push('-');
          continue;
        }
        count.planted++;
        const read = await readOrRefused(wrong.place);
        if (!read) {
          for (const one of ['caught', 'alone', 'inFiles', 'refused'] as const) count[one]++;
          marks.push('r');
          continue;
        }
        const taken = wrong.inMemory?.(read) ?? read;
        // Where the files cannot name another hook it is the person who does.
        const said = rowsFor(taken);
        const which = name in hooks && said === 'right' ? (name as keyof typeof hooks) : said;
        const inFiles = !wrong.inMemory && !wrong.rows && which === said;
        if (inFiles) count.inFiles++;
        const of = (at: keyof typeof hooks) => rows[at]![1]!.subarray(0, some);
        const given = pair(of(which), of('right'), wrong.rows);
        const isCaught = async (by: RecordedNumbers): Promise<boolean> =>
          (await selfTest(taken, { ...given, recorded: by })).state === 'wrong';
        const alone = await isCaught({});
        const caught = alone || (await isCaught(recorded));
        if (caught) count.caught++;
        else add(missed, name);
        if (alone) count.alone++;
        else add(missedAlone, name);
        marks.push(`${alone ? 'x' : caught ? 'n' : 'MISSED'}${inFiles ? '' : '*'}`);
      }
      lines.push(`${`${format}, ${kind}`.padEnd(46)} ${marks.map((m) => m.padEnd(8)).join('')}`.trimEnd());
    }
  } finally {
    await rm(root, { recursive: true });
  }
  const names = Object.keys(mistakes).map((name, i) => `${i + 1} ${name}`);
  const counts = (of: Record<string, number>): string =>
    Object.entries(of)
      .map(([name, n]) => `${name} ${n}`)
      .join(', ') || 'none';
  const { caught, alone, planted, inFiles, refused, alarms, good } = count;
  lines.unshift(
    'r refused when read, x caught on activations, n caught with the recorded numbers only, - cannot happen, * planted in what was read, not in the files',
    names.join(', '),
    `${''.padEnd(47)}${names.map((_, i) => String(i + 1).padEnd(8)).join('')}`.trimEnd(),
  );
  lines.push(
    `missed: ${counts(missed)}`,
    `missed without recorded numbers: ${counts(missedAlone)}`,
    `planted ${planted}, ${inFiles} of them in files, ${refused} refused when read`,
    `caught ${caught} of ${planted}; without recorded numbers ${alone}; false alarms ${alarms} of ${good}`,
  );
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('golden/sae/self-test.txt');
  expect(caught / planted).toBeGreaterThanOrEqual(0.9);
  expect(inFiles / planted).toBeGreaterThan(0.7);
  expect([alarms, good >= 30]).toEqual([0, true]);
}, 900_000);
