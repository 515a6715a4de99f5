/** Named lists of latents: kept on disk, and with values a preset for steering. */
import { z } from 'zod';
import {
  deletedSchema,
  featureListInput,
  featureListSchema,
  featureListsSchema,
  listName,
} from '../../shared/api.ts';
import { unknown } from '../errors.ts';
import { operation } from './operation.ts';

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
      if (!found)
        throw unknown(
          'list',
          name,
          'name',
          lists.map((list) => list.name),
        );
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
    async run(lab, input) {
      const list = { ...input, updated: new Date().toISOString() };
      await lab.lists.save(list);
      return list;
    },
  }),
  operation({
    name: 'delete_list',
    method: 'delete',
    path: '/api/lists/{name}',
    summary: 'Deletes a list.',
    input: z.strictObject({ name: listName }),
    output: deletedSchema,
    run: async (lab, { name }) => ({ deleted: await lab.lists.remove(name) }),
  }),
];
