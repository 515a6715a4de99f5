// Several SAEs on the same rows: each is the SAE of a single run, bit for bit, through Ctrl-C and failures too.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import '../src/platform/node.ts';
import { trainConfigSchema } from '../src/shared/config.ts';
import { readRun, readRunMetrics, runCheckpoints } from '../src/store/index.ts';
import { trainSae } from '../src/workflows/index.ts';
import { saekit } from './fixtures/command-line.ts';
import { changed, createWorkspace, type Workspace } from './fixtures/workspace.ts';

let workspace: Workspace;
beforeAll(() => {
  workspace = createWorkspace();
}, 120_000);
afterAll(() => workspace.remove());

const weights = (folder: string): Buffer => readFileSync(join(folder, 'sae_weights.safetensors'));
const GRID = ['hook=blocks.0.hook_resid_post,blocks.1.hook_resid_post', 'latents=64,128', 'seed=0,3'];
const grid = (folder: string, steps?: number, values = GRID): string[] => [
  ...workspace.small(folder, steps),
  '--grid',
  ...values,
];
/** The arguments of the single run that a member must equal. */
const single = (member: string, out: string, steps?: number): string[] =>
  member
    .split('_seed-')
    .join('-seed=')
    .split(/_latents-|-seed=/)
    .reduce(
      (args, value, i) =>
        changed(args, ['--hook', '--latents', '--seed'][i]!, i === 0 ? value.replace('hook-', '') : value),
      [...workspace.small(out, steps), '--data-seed', '0'],
    );
const membersOf = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name !== 'grid.json')
    .sort();

describe('train --grid', () => {
  it('makes a run folder per combination, each with the bits, metrics and evaluation of its single run', async () => {
    const folder = workspace.newFolder();
    const { status, stdout, stderr } = await saekit(grid(folder));
    expect([status, stderr]).toEqual([0, '']);
    const members = membersOf(folder);
    expect(members).toHaveLength(8);
    expect(stdout).toMatch(/5,120 tokens for 8 SAEs in .*in turns/);
    const evaluation = (path: string): unknown => JSON.parse(readFileSync(join(path, 'eval.json'), 'utf8'));
    for (const member of [members[1]!, members[6]!]) {
      const alone = workspace.newFolder();
      expect((await saekit(single(member, alone))).status).toBe(0);
      const path = join(folder, member);
      expect(weights(path).equals(weights(alone)), member).toBe(true);
      expect(evaluation(path)).toEqual(evaluation(alone));
      const numbers = async (of: string) =>
        (await readRunMetrics(of)).map(({ step, loss, fvu, dead }) => ({ step, loss, fvu, dead }));
      expect(await numbers(path)).toEqual(await numbers(alone));
      const [together, apart] = [await readRun(path), await readRun(alone)];
      expect(together.config).toEqual({ ...apart.config });
    }
    // The others in this process, which is faster, from the configs that they recorded.
    for (const member of members.filter((_, i) => i !== 1 && i !== 6)) {
      const { config } = await readRun(join(folder, member));
      const alone = workspace.newFolder();
      await trainSae(trainConfigSchema.parse({ ...config, evalTokens: 0, workers: 0 }), { folder: alone });
      expect(weights(join(folder, member)).equals(weights(alone)), member).toBe(true);
    }
    const all = members.map((member) => weights(join(folder, member)).toString('base64'));
    expect(new Set(all).size).toBe(8);
  }, 180_000);

  it('stops on Ctrl-C with all states saved, and goes on with the same bits from the last step that all have', async () => {
    const whole = workspace.newFolder();
    const values = ['latents=64,128', 'k=4,8'];
    expect((await saekit(grid(whole, 60, values))).status).toBe(0);
    const stopped = workspace.newFolder();
    let sent = false;
    const interrupted = await saekit(grid(stopped, 60, values), {
      onOutput: (_text, interrupt) => {
        if (sent || !existsSync(join(stopped, 'latents-128_k-8', 'checkpoints', 'step-10'))) return;
        sent = true;
        interrupt();
      },
      watch: true,
    });
    expect(interrupted.status).toBe(130);
    expect(interrupted.stderr).toMatch(/state of all 4 is saved; go on with: .*--resume/);
    const steps = await Promise.all(
      membersOf(stopped).map((member) => runCheckpoints(join(stopped, member))),
    );
    expect(new Set(steps.map((list) => list.at(-1))).size).toBe(1);
    expect((await saekit(['train', '--resume', stopped])).status).toBe(0);
    for (const member of membersOf(whole))
      expect(weights(join(stopped, member)).equals(weights(join(whole, member))), member).toBe(true);
    const again = await saekit(['train', '--resume', stopped]);
    expect([again.status, again.stderr]).toEqual([2, expect.stringMatching(/All 4 SAEs .* are finished/)]);
  }, 180_000);

  it('leaves behind a member whose loss is not finite; the others are what they were', async () => {
    const folder = workspace.newFolder();
    const { status, stdout, stderr } = await saekit(grid(folder, 20, ['lr=1e-3,1e30']));
    expect(status).toBe(1);
    expect(stderr).toMatch(/1 of 2 SAEs stopped early; go on with one: .*--resume .*lr-1e\+30/);
    expect(stdout).toMatch(/lr-1e\+30: Stopped at step \d+:.*learning rate is probably too high/s);
    expect((await readRun(join(folder, 'lr-1e+30'))).status).toBe('failed');
    const alone = workspace.newFolder();
    expect((await saekit([...workspace.small(alone), '--lr', '1e-3'])).status).toBe(0);
    expect(weights(join(folder, 'lr-0.001')).equals(weights(alone))).toBe(true);
  }, 120_000);

  it.each([
    [['batchTokens=1,2'], /"batchTokens" cannot vary/],
    [['latent=64,128'], /"latent" cannot vary. Did you mean "latents"/],
    [['latents=64,64'], /latents-64 twice/],
    [['latents=many'], /--latents: found \["many"\]/],
    [['latents'], /expected FIELD=VALUE/],
    [['latents=64', 'k=4', 'latents=128'], /"latents" is given twice.*latents=64,128/],
    [['signed=yes'], /--signed: found \["yes"\]/],
    [['l0=8,16'], /--l0 is of relu, gated and jumprelu/],
    [['variant=gated', 'l0=8,16,200'], /l0 is 200 but there are only 128 latents/],
    [['token-bias=true,false', 'k=8,256'], /k is 256 but/],
    [['k=8,256'], /k is 256 but there are only 128 latents/],
  ])(
    'refuses %j before anything is made',
    async (values, message) => {
      const folder = workspace.newFolder();
      const { status, stderr } = await saekit(grid(folder, 20, values));
      expect(stderr).toMatch(message);
      expect(status).toBe(2);
      expect(existsSync(folder)).toBe(false);
    },
    60_000,
  );
});
