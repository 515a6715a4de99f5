/** One SAE while it trains: its folder, its trainer, its log. A run has one of them, a grid several on the same rows. */
import type { Moments } from '../../eval/index.ts';
import type { StageTimes } from '../../harvest/index.ts';
import type { Sae } from '../../sae/index.ts';
import { type Run, runSchemaVersion } from '../../shared/run.ts';
import type { Checkpoint, CheckpointArray, RunFolder, StreamedArray, UrlReport } from '../../store/index.ts';
import { type Beside, createTrainer, type StepMetrics, type Trainer } from '../../train/index.ts';
import { addPrefix, withPrefix } from '../arrays.ts';
import { type LogTarget, openLog } from '../log.ts';
import { createPace, progressOf } from '../progress.ts';
import { environment } from '../provenance.ts';
import type { Own } from '../resources.ts';
import { type Start, testStart } from '../start.ts';
import type { TrainPlan, TrainProgress } from '../types.ts';
import type { Source, TrainingRows } from './source.ts';

export type MemberParts = {
  readonly plan: TrainPlan;
  readonly source: Source;
  readonly folder: RunFolder;
  /** When the run began, which may be before a resume. */
  readonly started: string;
  readonly start: Start;
  readonly checkpoint: Checkpoint<StreamedArray> | undefined;
  readonly logTo: LogTarget | undefined;
};

type RowsState = ReturnType<TrainingRows['state']>;

/** Names in a checkpoint of the rows that are read, and of those that a transcoder is to give. */
export const ROWS_OF_HOOK = ['stream.', 'given.'] as const;

export type Member = {
  readonly plan: TrainPlan;
  readonly folder: RunFolder;
  readonly trainer: Trainer;
  readonly checkpoint: Checkpoint<StreamedArray> | undefined;
  /** After the first step. */
  readonly progress: TrainProgress | undefined;
  /**
   * From a sample of rows, or without one from the checkpoint that it was opened with. Gives what there is to say of the SAE that it starts
   * from. @throws UsageError when that SAE is not of this hook
   */
  begin(sample: Float32Array | undefined, beside: Beside): Promise<string | undefined>;
  /** One step on x [B,D]; a line of metrics when one is due. */
  step(
    x: Float32Array,
    beside: Beside,
    rows: Pick<TrainingRows, 'stages' | 'epochs'>,
  ): Promise<TrainProgress>;
  /** Writes a checkpoint: the trainer, the rows of this member's hook (of a transcoder, hooks), their moments where they are wanted at the end. */
  save(
    position: RowsState['position'],
    arrays: readonly RowsState['arrays'][number][],
    moments: ReturnType<Moments['state']>,
  ): Promise<void>;
  writeRun(status: Run['status']): Promise<void>;
  /** The finished SAE; gives the trainer's memory back, which nothing needs after that. */
  finish(): Promise<Sae>;
  closeLog(): Promise<UrlReport | undefined>;
};

export async function openMember(parts: MemberParts, own: Own): Promise<Member> {
  const { plan, source, folder, started, start, checkpoint, logTo } = parts;
  const { config, settings } = plan;
  const trainer = own(await createTrainer(plan.trainer));
  const log = own(await openLog(folder, config, { logTo, after: checkpoint?.step }));
  let pace: ReturnType<typeof createPace> | undefined;
  let last: StepMetrics | undefined;
  let progress: TrainProgress | undefined;

  const member: Member = {
    plan,
    folder,
    trainer,
    checkpoint,
    get progress() {
      return progress;
    },
    async begin(sample, beside) {
      if (checkpoint) {
        await trainer.restore(withPrefix(checkpoint.arrays, 'trainer.'));
        return undefined;
      }
      const said = await testStart(start, { ...beside, x: sample! });
      await trainer.initialize(sample!, start.sae, beside);
      return said;
    },
    async step(x, beside, rows) {
      pace ??= createPace(trainer.step);
      last = await trainer.train(x, beside);
      progress = progressOf(last, plan, rows, pace(last.step));
      if (last.step % config.logEverySteps === 0 || last.step === settings.totalSteps)
        await log.append({
          ...last,
          ...roundedStages(rows.stages),
          tokensPerSecond: Math.round(progress.tokensPerSecond),
        });
      return progress;
    },
    async save(position, rowArrays, moments) {
      const arrays = new Map<string, CheckpointArray | StreamedArray>([
        ...addPrefix(trainer.streamState(), 'trainer.'),
        ...rowArrays.flatMap((of, k) => [...addPrefix(of, ROWS_OF_HOOK[k]!)]),
        ...addPrefix(moments, 'moments.'),
      ]);
      await folder.saveCheckpoint({ step: trainer.step, arrays, json: { stream: position } });
    },
    writeRun: (status) =>
      folder.writeRun({
        schemaVersion: runSchemaVersion,
        status,
        config,
        resolved: { ...settings, D: plan.D, ...(plan.Dout === undefined ? {} : { Dout: plan.Dout }) },
        seeds: {
          training: config.seed,
          shuffle: `${settings.dataSeed}/shuffle`,
          documents: settings.dataSeed,
        },
        provenance: {
          ...source.provenance,
          ...environment(),
          ...(start.initialSae ? { initialSae: start.initialSae } : {}),
        },
        started,
        ...(status === 'running' ? {} : { finished: new Date().toISOString() }),
        // The trainer of a continued run stands there only after `begin`.
        step: Math.max(trainer.step, checkpoint?.step ?? 0),
        ...(last ? { metrics: last } : {}),
      }),
    async finish() {
      const sae = await trainer.exportSae({
        ...source.metadata(plan),
        training_tokens: settings.totalSteps * config.batchTokens,
        freeze: config.freeze,
        variant: config.variant,
        // What variants without a K say of how many are active; the mean of the last batch.
        ...(last?.coefficient === undefined ? {} : { l0: last.l0, sparsity_coefficient: last.coefficient }),
        ...(config.multiTopk ? { multi_topk: true } : {}),
        ...(config.tokenBias ? { token_bias: true } : {}),
        ...(config.ema > 0 ? { ema: config.ema } : {}),
      });
      await trainer.close();
      return plan.flattened ? { ...sae, config: { ...sae.config, flattened: true } } : sae;
    },
    async closeLog() {
      await log.close();
      return log.report();
    },
  };
  await member.writeRun('running');
  return member;
}

const roundedStages = ({ data, model, sae }: StageTimes) => ({
  dataMs: Math.round(data),
  modelMs: Math.round(model),
  saeMs: Math.round(sae),
});
