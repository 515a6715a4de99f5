/** Whole runs on the bundled model as contenders: the wall time of one beside its stages, and the model's share of a grid. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import '../../src/platform/node.ts';
import { trainConfigSchema } from '../../src/shared/config.ts';
import { trainGrid, trainSae } from '../../src/workflows/index.ts';
import type { Contender } from './contender.ts';

const demo = (path: string) => fileURLToPath(new URL(`../../demo/${path}`, import.meta.url));
/** What a run does once, a start of a second, is not to decide about the wall time. */
const WALL_STEPS = 100;
const GRID_STEPS = 20;
const B = 4096;

const configOf = (latents: number, steps: number, workers: number) =>
  trainConfigSchema.parse({
    model: demo('model'),
    data: [demo('corpus/train.jsonl.gz')],
    heldout: [demo('corpus/heldout.jsonl.gz')],
    ...{ latents, k: 32, lr: 3e-3, batchTokens: B, tokens: steps * B, shuffleTokens: 8 * B },
    ...{ evalTokens: 0, checkpointEveryTokens: steps * B, pipeline: 'alternate', workers },
  });

/** Two contenders of one run each round: the stages of model and SAE added up, then the wall time of that same run. */
export function oursWall(folder: string, workers: number): { stages: Contender; wall: Contender } {
  let wall = 0;
  const about = { B, steps: WALL_STEPS, F: 4096, model: 'demo/model', pipeline: 'alternate' };
  const run = async (): Promise<number> => {
    const out = join(folder, 'wall');
    const { seconds, progress } = await trainSae(configOf(4096, WALL_STEPS, workers), { folder: out });
    rmSync(out, { recursive: true });
    wall = seconds * 1000;
    return progress!.stages.model + progress!.stages.sae;
  };
  return {
    stages: { name: 'ours.stages', about, turn: run, close: async () => {} },
    wall: { name: 'ours.wall', about, turn: async () => wall, close: async () => {} },
  };
}

/** The model stage of one SAE, and of six on the same rows. */
export function oursModelStage(name: string, folder: string, workers: number, saes: 1 | 6): Contender {
  const config = configOf(512, GRID_STEPS, workers);
  return {
    name,
    about: { B, steps: GRID_STEPS, F: 512, SAEs: saes, model: 'demo/model' },
    async turn() {
      const out = join(folder, name);
      const { stages } =
        saes === 1
          ? (await trainSae(config, { folder: out })).progress!
          : (await trainGrid(config, { k: [16, 32], seed: [0, 1, 2] }, { folder: out })).members[0]!
              .progress!;
      rmSync(out, { recursive: true });
      return stages.model;
    },
    close: async () => {},
  };
}
