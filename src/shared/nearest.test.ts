import { expect, test } from 'vitest';
import { nearestNames } from './nearest.ts';

test('a mistyped name finds the one that was meant, a swap counting once', () => {
  const hooks = [
    'blocks.0.hook_resid_pre',
    'blocks.0.hook_resid_post',
    'blocks.1.hook_resid_post',
    'hook_embed',
  ];
  expect(nearestNames('blocks.1.hook_resid_psot', hooks)[0]).toBe('blocks.1.hook_resid_post');
  expect(nearestNames('resid_pre', hooks)[0]).toBe('blocks.0.hook_resid_pre');
});

test('names without likeness are not offered, and the list is short', () => {
  expect(nearestNames('zzzz', ['corpus.jsonl', 'notes.txt'])).toEqual([]);
  expect(nearestNames('a1', ['a2', 'a3', 'a4', 'a5'])).toEqual(['a2', 'a3', 'a4']);
});
