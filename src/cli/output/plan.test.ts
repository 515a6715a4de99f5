import { expect, it } from 'vitest';
import { trainConfigSchema } from '../../shared/config.ts';
import { planStored } from '../../workflows/plan.ts';
import { kindText, planText } from './plan.ts';
import { createStyle } from './style.ts';

const plan = (input: object) =>
  planStored(
    trainConfigSchema.parse({ activations: 'a', latents: 1024, ...input }),
    { D: 64, rows: 1e6, name: 'a', format: 'npy', meta: {} },
    { cores: 2, folder: 'runs/x' },
  );

it('says which kind of SAE is trained, and what decides how many latents are active', () => {
  expect(kindText([plan({})])).toBe('topk, F 1,024, K 32');
  expect(kindText([plan({ variant: 'jumprelu', l0: 16 })])).toBe('jumprelu, F 1,024, L0 16');
  expect(kindText([plan({ variant: 'relu', l0: 0, sparsityCoefficient: 5 })])).toBe(
    'relu, F 1,024, coefficient 5',
  );
  expect(kindText([plan({ k: 8 }), plan({ variant: 'gated', k: 8 })])).toBe(
    'topk, gated, F 1,024, K 8, L0 8',
  );
  const text = planText(
    plan({ variant: 'matryoshka', prefixes: [64, 1024], resampleTokens: 40_960 }),
    createStyle({ isTTY: false }, {}),
  );
  expect(text).toContain('matryoshka, F 1,024, K 32, prefixes 64 1,024');
  expect(text).toContain('starts anew every 10 steps');
});
