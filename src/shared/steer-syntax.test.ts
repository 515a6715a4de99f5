import { describe, expect, test } from 'vitest';
import { interventionSchema } from './intervention.ts';
import { parseIntervention } from './steer-syntax.ts';

const one = { sae: 'runs/a', latent: 12 };

describe('one line', () => {
  test.each([
    ['runs/a:12=8', { ...one, mode: 'add', value: 8 }],
    ['runs/a:12=-0.5', { ...one, mode: 'add', value: -0.5 }],
    ['runs/a:12=add:1e2', { ...one, mode: 'add', value: 100 }],
    ['runs/a:12=clamp:1.5max', { ...one, mode: 'clamp', value: 1.5, unit: 'max' }],
    ['runs/a:12=at-least:.5', { ...one, mode: 'at-least', value: 0.5 }],
    ['runs/a:12=zero', { ...one, mode: 'zero' }],
    ['runs/a:12=suppress', { ...one, mode: 'suppress' }],
    ['runs/a:12=suppress:3', { ...one, mode: 'suppress', above: 3 }],
    ['runs/a=splice', { sae: 'runs/a', mode: 'splice' }],
    ['v.safetensors=2', { vector: 'v.safetensors', mode: 'add', value: 2 }],
    // The colon of a drive, and of an SAE inside a repository.
    ['C:\\runs\\a:12=8', { sae: 'C:\\runs\\a', latent: 12, mode: 'add', value: 8 }],
    ['runs/a:12=8 at generated', { ...one, mode: 'add', value: 8, positions: 'generated' }],
    [
      'runs/a:12=8 at 0:5,-1:',
      {
        ...one,
        mode: 'add',
        value: 8,
        positions: [
          [0, 5],
          [-1, null],
        ],
      },
    ],
    ['runs/a:12=clamp:8 if 3>0.5', { ...one, mode: 'clamp', value: 8, when: { latent: 3, above: 0.5 } }],
    [
      'runs/a:12=8 at prompt if runs/b:3 < -1',
      { ...one, mode: 'add', value: 8, positions: 'prompt', when: { sae: 'runs/b', latent: 3, below: -1 } },
    ],
    [
      'my runs/a:12=8 if other runs/b:3>1',
      { ...one, sae: 'my runs/a', mode: 'add', value: 8, when: { sae: 'other runs/b', latent: 3, above: 1 } },
    ],
    [
      'runs/a:12=patch:what if he: if b:3>1',
      { ...one, mode: 'patch', text: 'what if he:', when: { sae: 'b', latent: 3, above: 1 } },
    ],
    ['runs/a:12=patch:look at me = you', { ...one, mode: 'patch', text: 'look at me = you' }],
    ['runs/a:12=mean:other', { ...one, mode: 'mean', text: 'other' }],
    ['runs/a:12=patch:"x if 3>2" at 0:4', { ...one, mode: 'patch', text: 'x if 3>2', positions: [[0, 4]] }],
  ] as const)('%s', (text, expected) => {
    expect(parseIntervention(text)).toEqual(interventionSchema.parse(expected));
  });

  test.each([
    ['runs/a:12', /there is no `=`/],
    ['runs/a=8', /add needs a latent: runs\/a:LATENT=8/],
    ['runs/a:12=splice', /splice takes the whole SAE/],
    ['runs/a:12=clam:8', /no change "clam".*Did you mean "clamp"/],
    ['runs/a:12=clamp', /clamp needs a number and found ""/],
    ['runs/a:12=zero:3', /zero takes no number/],
    ['runs/a:12=8e40', /8e40 is too large/],
    ['runs/a:12=1000001', /1000001 is too large: expected a number from -1000000 to 1000000/],
    ['runs/a:12=8 at 0:3,5:2', /5:2 has no token: expected FROM:TO/],
    ['runs/a:12=8 at 3:3', /3:3 has no token/],
    ['runs/a:12=8 at -1:-2', /-1:-2 has no token/],
    ['runs/a:12=8 at here', /"here" is no place: expected all/],
    ['runs/a:12=8 if 3=2', /after `if` comes LATENT>NUMBER/],
    ['runs/a:99999999999999999999=8', /latent: Too big.* Written as/],
    ['runs/a:12=patch', /patch needs the text/],
    ['runs/a:12=suppress:1max', /without max/],
    ['runs/a:12=scale:0.5max', /scale takes a factor, without max/],
  ])('%s is refused', (text, message) => {
    expect(() => parseIntervention(text)).toThrow(message);
  });

  test('a range whose edges count from two ends may have tokens', () => {
    expect(parseIntervention('runs/a:12=8 at 5:-1,-3:2').positions).toEqual([
      [5, -1],
      [-3, 2],
    ]);
  });

  test('says what stands in the line before what is given for all lines', () => {
    const defaults = { positions: 'generated', keepError: false } as const;
    expect(parseIntervention('runs/a:12=8', defaults)).toMatchObject(defaults);
    expect(parseIntervention('runs/a:12=8 at all', defaults).positions).toBe('all');
  });
});
