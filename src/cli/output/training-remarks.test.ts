import { describe, expect, it } from 'vitest';
import type { TrainResult } from '../../workflows/index.ts';
import { trainingRemarks } from './training-remarks.ts';

const result = (asked: number, last: number, measured: number | undefined, epochs = 0): TrainResult =>
  ({
    status: 'finished',
    plan: { config: { evalTokens: 500 }, settings: { l0: asked, totalSteps: 36 } },
    progress: { l0: last, epochs },
    ...(measured === undefined
      ? {}
      : {
          measured: { evaluation: { candidates: [{ kind: 'sae', latents: { l0: { value: measured } } }] } },
        }),
  }) as unknown as TrainResult;

describe('the end of a run', () => {
  it('says that L0 was missed, and whether training had reached it', () => {
    expect(trainingRemarks(result(16, 21, 22.2), false)).toEqual([
      expect.stringMatching(/^L0 is 22\.2 on held-out text, 16 was asked: .* after 36 steps \(21\.0 in/),
    ]);
    expect(trainingRemarks(result(16, 16.1, 17), false)).toEqual([
      expect.stringMatching(/in the last batch of training it was 16\.1\.$/),
    ]);
    expect(trainingRemarks(result(16, 16, 16.4), false)).toEqual([]);
    expect(trainingRemarks(result(0, 30, 40), false)).toEqual([]);
    const batch = result(0, 32, 41.3);
    const plan = { ...batch.plan, config: { ...batch.plan.config, variant: 'batch-topk' as const, k: 32 } };
    expect(trainingRemarks({ ...batch, plan }, false)).toEqual([
      'L0 is 41.3 on held-out text, 32 was asked: in the last batch of training it was 32.0.',
    ]);
  });

  it('says that text came again and that nothing was measured', () => {
    expect(trainingRemarks(result(0, 4, undefined, 1535), false)).toEqual([
      'The same text was read 1,535 times over.',
      expect.stringMatching(/No text was held out, so nothing was measured/),
    ]);
    expect(trainingRemarks(result(0, 4, undefined), true)).toEqual([
      expect.stringMatching(/^Stopped before it was measured/),
    ]);
    expect(trainingRemarks(result(0, 4, 4), true)).toEqual([]);
  });
});
