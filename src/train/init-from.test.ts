/** Every kind of SAE goes on from a finished one of its kind, and from no other. */
import { describe, expect, it } from 'vitest';
import '../platform/node.ts';
import { batches, smallTraining } from '../../test/support/training.ts';
import type { Sae } from '../sae/types.ts';
import { createTrainer } from './trainer.ts';
import type { TrainerConfig } from './types.ts';

const sparsity = { coefficient: 0.3, l0: 6, warmupSteps: 0 };
const kinds: Record<string, Partial<TrainerConfig>> = {
  topk: {},
  'batch-topk': { variant: 'batch-topk' },
  matryoshka: { variant: 'matryoshka', prefixes: [5, 20, 64] },
  relu: { variant: 'relu', sparsity, auxk: 0 },
  gated: { variant: 'gated', sparsity, auxk: 0 },
  jumprelu: { variant: 'jumprelu', sparsity },
  transcoder: { variant: 'transcoder', Dout: 18 },
  'skip-transcoder': { variant: 'skip-transcoder', Dout: 18 },
};
const rows = batches(smallTraining, 50);
const configOf = (kind: string): TrainerConfig => ({ ...smallTraining, ...kinds[kind] });
/** What a transcoder is to give: the squares of the first numbers of each row. */
const given = (x: Float32Array, { D, Dout }: TrainerConfig) =>
  Dout === undefined
    ? {}
    : {
        y: Float32Array.from(
          { length: (x.length / D) * Dout },
          (_, j) => x[Math.floor(j / Dout) * D + (j % Dout)]! ** 2,
        ),
      };

/** A finished SAE, and the FVU and L0 that its trainer sees on the last rows with the same weights. */
async function finished(config: TrainerConfig): Promise<{ sae: Sae; fvu: number; l0: number }> {
  const trainer = await createTrainer(config);
  await trainer.initialize(rows[0]!, undefined, given(rows[0]!, config));
  for (const x of rows.slice(0, 40)) await trainer.train(x, given(x, config));
  const sae = await trainer.exportSae();
  const { fvu, l0 } = await trainer.train(rows[49]!, given(rows[49]!, config));
  await trainer.close();
  return { sae, fvu, l0 };
}

describe.each(Object.keys(kinds))('%s', (kind) => {
  it('goes on where the SAE was, in whatever units the new rows give, and no other kind goes on from it', async () => {
    const config = configOf(kind);
    const { sae, fvu, l0 } = await finished(config);
    const trainer = await createTrainer({ ...config, seed: 99 });
    // A sample of another spread: the scales, and the centre of a transcoder, are others.
    const sample = rows[3]!.map((v) => 1.7 * v + 0.3);
    await trainer.initialize(sample, sae, given(sample, config));
    const first = await trainer.train(rows[49]!, given(rows[49]!, config));
    await trainer.close();
    expect(Math.abs(first.fvu / fvu - 1)).toBeLessThan(1e-4);
    expect(Math.abs(first.l0 / l0 - 1)).toBeLessThan(0.01);

    for (const other of Object.keys(kinds).filter((name) => name !== kind)) {
      const strange = await createTrainer(configOf(other));
      await expect(
        strange.initialize(rows[0]!, sae, given(rows[0]!, configOf(other))),
        other,
      ).rejects.toThrow(new RegExp(`this run trains ${other}, .*Choose the --variant`));
      await strange.close();
    }
  });
});

it('other prefixes, and what training would leave out, are refused by name', async () => {
  const config = configOf('matryoshka');
  const { sae } = await finished(config);
  const start = async (changed: TrainerConfig, from: Sae): Promise<void> => {
    const trainer = await createTrainer(changed);
    await trainer.initialize(rows[0]!, from).finally(() => trainer.close());
  };
  await expect(start({ ...config, prefixes: [10, 64] }, sae)).rejects.toThrow(
    /prefixes 5, 20, 64, this run 10, 64. Give --prefixes 5 20 64/,
  );
  const b_token = new Float32Array(3 * smallTraining.D);
  await expect(start(config, { ...sae, b_token })).rejects.toThrow(
    /with a token bias, which training would leave out/,
  );
  await expect(start(config, { ...sae, config: { ...sae.config, inputNorm: 'layer' } })).rejects.toThrow(
    /with normalised input, which training/,
  );
});
