/** A bias for every token, beside every kind of SAE. */
import { describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { batches, smallTraining } from '../../test/support/training.ts';
import { decode, encode, type Sae } from '../sae/index.ts';
import { createRng } from '../shared/rng.ts';
import { createTrainer } from './trainer.ts';
import type { TrainerConfig } from './types.ts';

const V = 37; // not a multiple of the shards
const sparsity = { coefficient: 0.3, l0: 6, warmupSteps: 0 };
const kinds: Record<string, Partial<TrainerConfig>> = {
  topk: {},
  'batch-topk': { variant: 'batch-topk' },
  matryoshka: { variant: 'matryoshka', prefixes: [5, 20, 64] },
  relu: { variant: 'relu', sparsity, auxk: 0 },
  gated: { variant: 'gated', sparsity, auxk: 0 },
  jumprelu: { variant: 'jumprelu', sparsity },
  'skip-transcoder': { variant: 'skip-transcoder', Dout: 18 },
};

/** Rows of which a part says nothing but which token they are: [x, beside]. */
function rowsOf(config: TrainerConfig, n: number) {
  const rng = createRng(11);
  const { D, B, Dout } = config;
  const of = Float32Array.from({ length: V * D }, () => 2 * rng.normal());
  return batches(config, n).map((x) => {
    const tokens = Int32Array.from({ length: B }, () => Math.floor(V * rng.uniform() ** 3));
    for (let j = 0; j < x.length; j++) x[j]! += of[tokens[Math.floor(j / D)]! * D + (j % D)]!;
    const y =
      Dout && Float32Array.from({ length: B * Dout }, (_, j) => x[Math.floor(j / Dout) * D + (j % Dout)]!);
    return [x, y ? { y, tokens } : { tokens }] as const;
  });
}

const withoutBias = ({ b_token: _, ...sae }: Sae): Sae => sae;

describe('the bias of a token', () => {
  it('is n / (n + 10) times the mean of what the rest leaves of its n rows, however they came in batches', async () => {
    // Nothing but the biases moves.
    const config: TrainerConfig = { ...smallTraining, lr: 0, vocabulary: V };
    const rows = rowsOf(config, 3);
    const trainer = await createTrainer(config);
    await trainer.initialize(rows[0]![0]);
    for (const [x, beside] of rows) await trainer.train(x, beside);
    const sae = await trainer.exportSae();
    await trainer.close();
    expect(sae.b_token!.length).toBe(V * config.D);
    const [sums, counts] = [new Float64Array(V * config.D), new Float64Array(V)];
    for (const [x, { tokens }] of rows) {
      const out = decode(withoutBias(sae), await encode(sae, x));
      for (const [b, t] of tokens.entries()) {
        counts[t]!++;
        for (let d = 0; d < config.D; d++)
          sums[t * config.D + d]! += x[b * config.D + d]! - out[b * config.D + d]!;
      }
    }
    expect(counts.some((n) => n > 30) && counts.some((n) => n < 4)).toBe(true);
    for (const [j, found] of sae.b_token!.entries())
      expect(found).toBeCloseTo(sums[j]! / (counts[Math.floor(j / config.D)]! + 10), 4);
  });

  it('forgets: of more than 1,000 rows the later ones count for more', async () => {
    const config: TrainerConfig = { ...smallTraining, lr: 0, vocabulary: 1 };
    const tokens = new Int32Array(config.B);
    const [low, high] = rowsOf(config, 2).map(([x]) => x);
    const trainer = await createTrainer(config);
    await trainer.initialize(low!);
    for (let i = 0; i < 25; i++) await trainer.train(low!, { tokens });
    const before = (await trainer.exportSae()).b_token!;
    for (let i = 0; i < 25; i++) await trainer.train(high!, { tokens });
    const after = (await trainer.exportSae()).b_token!;
    const sae = await trainer.exportSae();
    await trainer.close();
    const out = decode(withoutBias(sae), await encode(sae, high!));
    // By 25 steps of rate 96 / 1,010 the mean of the later rows has all but the share (1 - 96 / 1,010)^25 = 8 %.
    const mean = after.map((_, d) => {
      let sum = 0;
      for (let b = 0; b < config.B; b++) sum += high![b * config.D + d]! - out[b * config.D + d]!;
      return sum / config.B;
    });
    const left = (1 - config.B / 1010) ** 25;
    for (const [d, found] of after.entries())
      expect(found).toBeCloseTo(left * before[d]! + (1 - left) * mean[d]!, 3);
  });
});

describe.each(Object.keys(kinds))('%s with a token bias', (kind) => {
  const config: TrainerConfig = { ...smallTraining, K: 6, ...kinds[kind], vocabulary: V };
  const rows = rowsOf(config, 61);

  it('reconstructs better than without, and is exported with the FVU that training said', async () => {
    const { vocabulary: _, ...plain } = config;
    const fvus: number[] = [];
    for (const one of [config, plain as TrainerConfig]) {
      const trainer = await createTrainer(one);
      const beside = ({ tokens, ...more }: (typeof rows)[0][1]) =>
        one.vocabulary ? { tokens, ...more } : more;
      await trainer.initialize(rows[0]![0], undefined, beside(rows[0]![1]));
      for (const [x, more] of rows.slice(0, 60)) await trainer.train(x, beside(more));
      const sae = await trainer.exportSae();
      const [x, more] = rows[60]!;
      const { fvu } = await trainer.train(x, beside(more));
      await trainer.close();
      fvus.push(fvu);
      if (one !== config) continue;
      const out = decode(sae, await encode(sae, x), { x, ids: more.tokens });
      const y = 'y' in more ? more.y : x;
      const D = y.length / config.B;
      let [error, scatter] = [0, 0];
      for (let d = 0; d < D; d++) {
        let mean = 0;
        for (let b = 0; b < config.B; b++) mean += y[b * D + d]! / config.B;
        for (let b = 0; b < config.B; b++) {
          error += (y[b * D + d]! - out[b * D + d]!) ** 2;
          scatter += (y[b * D + d]! - mean) ** 2;
        }
      }
      // A running threshold is not the one of this very batch.
      const near =
        sae.config.architecture === 'batchtopk' || sae.config.architecture === 'matryoshka' ? 0.15 : 1e-4;
      expect(Math.abs(error / scatter / fvu - 1)).toBeLessThan(near);
    }
    expect(fvus[0]!).toBeLessThan(0.8 * fvus[1]!);
  });

  it.runIf(['topk', 'relu', 'skip-transcoder'].includes(kind))(
    'ends in the same bits on any number of workers, and after a change of it half-way',
    async () => {
      async function run(workers: readonly number[]) {
        let state: Awaited<ReturnType<Awaited<ReturnType<typeof createTrainer>>['state']>> | undefined;
        for (const [part, n] of workers.entries()) {
          const trainer = await createTrainer({ ...config, workers: n });
          if (state) await trainer.restore(state);
          else await trainer.initialize(rows[0]![0], undefined, rows[0]![1]);
          const length = 8 / workers.length;
          for (const [x, beside] of rows.slice(part * length, (part + 1) * length))
            await trainer.train(x, beside);
          state = await trainer.state();
          await trainer.close();
        }
        return state!;
      }
      const one = await run([0]);
      for (const workers of [[4], [2, 1]]) {
        const many = await run(workers);
        for (const [array, values] of one) expect(many.get(array), array).toEqual(values);
      }
    },
  );
});

it('asks for token ids that the vocabulary has, and an SAE without such a bias for none', async () => {
  const config: TrainerConfig = { ...smallTraining, vocabulary: V };
  const [[x, { tokens }]] = rowsOf(config, 1) as [ReturnType<typeof rowsOf>[0]];
  const trainer = await createTrainer(config);
  await trainer.initialize(x);
  await expect(trainer.train(x)).rejects.toThrow(/takes the 96 token ids.*it was given none/);
  await expect(trainer.train(x, { tokens: tokens.map(() => V) })).rejects.toThrow(/below 37; .* such as 37/);
  await trainer.train(x, { tokens });
  const sae = await trainer.exportSae();
  await trainer.close();
  const plain = await createTrainer(smallTraining);
  await expect(plain.initialize(x, sae)).rejects.toThrow(/with a token bias, which training would leave out/);
  await plain.initialize(x);
  await expect(plain.train(x, { tokens })).rejects.toThrow(/Tokens are for SAEs with a token bias/);
  await plain.close();
  const other = await createTrainer({ ...config, vocabulary: 40 });
  await expect(other.initialize(x, sae)).rejects.toThrow(/a bias for each of 37 tokens; the model has 40/);
  await other.close();
});
