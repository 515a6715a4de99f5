/** A real export on inputs that are no text: Moonshine's encoder and merged decoder against onnxruntime in Python (make_moonshine.py). */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { testModel } from '../../../test/support/test-models.ts';
import '../../platform/node.ts';
import { openOnnx } from './any.ts';

const encoderPath = testModel('moonshine-tiny/encoder_model.onnx');
const decoderPath = testModel('moonshine-tiny/decoder_model_merged.onnx');

type Golden = {
  readonly dims: number[];
  readonly hooks: Record<string, { tensor: string; rms: number; row10: number[] }>;
  readonly tokens: number[];
};

/** As in make_moonshine.py. */
const audio = Float32Array.from({ length: 24000 }, (_, i) => {
  const tone = (hertz: number) => Math.sin((2 * Math.PI * hertz * i) / 16000);
  return (0.3 * tone(140) + 0.2 * tone(700) + 0.1 * tone(1220)) * (0.6 + 0.4 * tone(3));
});

describe.skipIf(!encoderPath || !decoderPath)('Moonshine tiny', () => {
  test('residual streams of encoder and merged decoder, and the tokens it writes', async () => {
    const golden = JSON.parse(
      await readFile(new URL('../../../test/golden/onnx/moonshine.json', import.meta.url), 'utf8'),
    ) as Golden;
    const encoder = await openOnnx(encoderPath!);
    const tensors = new Map(encoder.hooks.map(({ hook, tensor }) => [hook, tensor]));
    const feeds = { input_values: { data: audio, dims: [1, audio.length] } };
    const names = Object.keys(golden.hooks);
    const found = await encoder.run(feeds, { fetch: ['last_hidden_state', ...names] });
    const hidden = found.last_hidden_state!;
    expect(hidden.dims).toEqual(golden.dims);
    for (const [hook, { tensor, rms, row10 }] of Object.entries(golden.hooks)) {
      expect(tensors.get(hook)).toBe(tensor);
      const { data } = found[hook]!;
      expect(Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length) / rms).toBeCloseTo(1, 4);
      for (const [i, x] of row10.entries())
        expect(Math.abs(data[10 * 288 + i]! - x) / rms).toBeLessThan(1e-4);
    }
    // A hook early in the model is had without the rest of it.
    const first = encoder.hooks.find(({ hook }) => hook.endsWith('resid_post'))!.hook;
    expect(first).toBe('blocks.0.hook_resid_post');
    // Not the same in all places: the norms would take that away.
    const direction = Float32Array.from({ length: 288 }, (_, i) => Math.sin(i));
    const moved = await encoder.run(feeds, { fetch: ['last_hidden_state'], add: { at: first, direction } });
    expect(moved.last_hidden_state!.data.some((x, i) => Math.abs(x - hidden.data[i]!) > 0.01)).toBe(true);
    await encoder.close();

    const decoder = await openOnnx(decoderPath!);
    expect(decoder.hooks.at(-1)).toEqual({
      hook: 'blocks.5.hook_resid_post',
      tensor: '/model/decoder/layers.5/Add_2_output_0',
    });
    const ids = [1];
    while (ids.length < golden.tokens.length) {
      const { logits } = await decoder.run(
        { input_ids: { data: ids, dims: [1, ids.length] }, encoder_hidden_states: hidden },
        { fetch: ['logits'] },
      );
      const last = logits!.data.subarray(-logits!.dims[2]!);
      ids.push(last.indexOf(last.reduce((a, b) => Math.max(a, b))));
    }
    expect(ids).toEqual(golden.tokens);
    await decoder.close();
  }, 120_000);
});
