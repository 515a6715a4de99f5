/** Named lists of latents: kept on disk, and with values a preset for steering. */
import { z } from 'zod';
import {
  deletedSchema,
  type FeatureList,
  featureListInput,
  featureListSchema,
  featureListsSchema,
  listedSchema,
  listName,
  MAX_LISTED,
} from '../../shared/api.ts';
import { unknown } from '../errors.ts';
import { operation } from './operation.ts';

const noList = (name: string, lists: readonly FeatureList[]) =>
  unknown(
    'list',
    name,
    'name',
    lists.map((list) => list.name),
  );
const now = () => new Date().toISOString();

export const listOperations = [
  operation({
    name: 'list_lists',
    method: 'get',
    path: '/api/lists',
    summary: 'All named lists.',
    input: z.strictObject({}),
    output: featureListsSchema,
    run: async (lab) => ({ lists: [...(await lab.lists.all())] }),
  }),
  operation({
    name: 'get_list',
    method: 'get',
    path: '/api/lists/{name}',
    summary: 'One named list.',
    input: z.strictObject({ name: listName }),
    output: featureListSchema,
    async run(lab, { name }) {
      const lists = await lab.lists.all();
      const found = lists.find((list) => list.name === name);
      if (!found) throw noList(name, lists);
      return found;
    },
  }),
  operation({
    name: 'save_list',
    method: 'put',
    path: '/api/lists/{name}',
    summary: 'Saves a list, in the place of one of the same name.',
    input: featureListInput,
    output: featureListSchema,
    run: (lab, input) => lab.lists.update(input.name, () => ({ ...input, updated: now() })),
  }),
  operation({
    name: 'add_to_list',
    method: 'post',
    path: '/api/lists/{name}',
    summary: 'Puts latents on a list, which is made where there is none. Others that are on it stay.',
    input: featureListInput,
    output: featureListSchema,
    run: (lab, { name, description, features }) =>
      lab.lists.update(name, (list) => {
        const given = new Set(features.map(({ run, latent }) => JSON.stringify([run, latent])));
        const others = (list?.features ?? []).filter(
          ({ run, latent }) => !given.has(JSON.stringify([run, latent])),
        );
        if (others.length + features.length > MAX_LISTED)
          throw new RangeError(
            `${name} has ${others.length} other latents; with ${features.length} more it would have over ${MAX_LISTED}. Take some off, or begin another list.`,
          );
        return {
          name,
          description: description || (list?.description ?? ''),
          features: [...others, ...features],
          updated: now(),
        };
      }),
  }),
  operation({
    name: 'take_off_list',
    method: 'delete',
    path: '/api/lists/{name}/{run}/{latent}',
    summary: 'Takes a latent off a list. Others that are on it stay.',
    input: z.strictObject({
      name: listName,
      run: listedSchema.shape.run,
      latent: listedSchema.shape.latent,
      mode: listedSchema.shape.mode.describe('In this mode alone. Default: in any.'),
    }),
    output: featureListSchema,
    async run(lab, { name, run, latent, mode }) {
      const lists = await lab.lists.all();
      return await lab.lists.update(name, (list) => {
        if (!list) throw noList(name, lists);
        const features = list.features.filter(
          (one) => one.run !== run || one.latent !== latent || (mode !== undefined && one.mode !== mode),
        );
        return features.length < list.features.length ? { ...list, features, updated: now() } : list;
      });
    },
  }),
  operation({
    name: 'delete_list',
    method: 'delete',
    path: '/api/lists/{name}',
    summary: 'Deletes a list.',
    input: z.strictObject({ name: listName }),
    output: deletedSchema,
    async run(lab, { name }) {
      const list = await lab.lists.remove(name);
      return list ? { deleted: true, list } : { deleted: false };
    },
  }),
];
