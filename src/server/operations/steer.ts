/** One prompt three times with the same seed: without, steered, and with random latents in their places, the control. */
import type { Intervention } from '../../models/steering/types.ts';
import { steerInput, steerSchema } from '../../shared/api.ts';
import { badRequest } from '../errors.ts';
import { requireMemory } from '../memory.ts';
import { checkMaxTokens, promptIds } from '../prompts.ts';
import { inActivations, interventionsOf, randomLatents, runsOf } from '../steering.ts';
import { operation } from './operation.ts';

export const steerOperations = [
  operation({
    name: 'steer',
    method: 'post',
    path: '/api/steer',
    summary: 'Writes a text without and with interventions, and with random latents as the control.',
    input: steerInput,
    output: steerSchema,
    async run(lab, { prompt, features, chat, maxTokens, temperature, topP, seed }, signal) {
      checkMaxTokens(lab, maxTokens, 'maxTokens');
      return await lab.use(
        runsOf(features),
        signal,
        async (open) => {
          const { model, modelName } = open[0]!;
          const other = open.findIndex((one) => one.modelName !== modelName);
          if (other > 0)
            throw badRequest(
              `${open[0]!.run} is of the model ${modelName}, ${open[other]!.run} of ${open[other]!.modelName}.`,
              'features',
            );
          requireMemory(model, undefined);
          const parts = { lab, open, param: 'features', signal };
          const edits = await interventionsOf(features, parts);
          const control = randomLatents(inActivations(features, parts), open, seed);
          const ids = promptIds(lab, model, chat ? [{ role: 'user', content: prompt }] : prompt, 'prompt');
          const write = (interventions: readonly Intervention[]) =>
            lab.writers.run(signal, async () => {
              const options = { maxNewTokens: maxTokens, temperature, topP, seed, signal, interventions };
              return (await model.generateBatch(ids, options))[0]!.text;
            });
          return {
            ...{ model: modelName, prompt },
            DEFAULT: await write([]),
            STEERED: await write(edits),
            ...(control ? { RANDOM: await write(await interventionsOf(control, parts)) } : {}),
          };
        },
        'features',
      );
    },
  }),
];
