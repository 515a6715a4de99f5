/**
 * How long a change of steering takes to be seen: from a set of interventions that was never run to the first piece of text that it can touch.
 *
 *     library    steer(…), then model.stream(…)                     to its first piece; the second where only generated tokens are changed
 *     http       POST /v1/completions of `saekit serve`, a stream   to the same piece
 *
 * A set has 1, 4, 16 or 64 latents of both bundled SAEs, each with a mode, a value and positions of its own, rules that look at latents of either, and in the
 * library a direction at a third hook; every prompt is another one. The places of the bus are opened before: after that, no change may open a session.
 */
import { type Model, openModel } from '../../src/models/index.ts';
import { getPlatform } from '../../src/platform/index.ts';
import { loadSae, type Sae } from '../../src/sae/index.ts';
import { serve } from '../../src/server/index.ts';
import type { InterventionConfigInput } from '../../src/shared/intervention.ts';
import { createRng } from '../../src/shared/rng.ts';
import { serveConfigSchema } from '../../src/shared/serve.ts';
import { steer } from '../../src/steer/index.ts';

/** One intervention as the server takes it; `run` is the SAE's hook. */
type Change = Omit<InterventionConfigInput, 'sae' | 'vector' | 'when'> & {
  readonly run: string;
  readonly latent: number;
  readonly when?: { readonly run: string; readonly latent: number; readonly above: number };
};
/** `piece`: which piece of text is the first that it can touch. */
export type Drawn = { readonly changes: readonly Change[]; readonly prompt: string; readonly piece: 1 | 2 };

const SIZES = [1, 4, 16, 64];
const MODES = ['add', 'clamp', 'scale', 'at-least', 'at-most', 'zero', 'suppress'] as const;
const PIECES = 12;

/** Set `i` of a row of sets. `runs`: hook and number of latents of each SAE, the later hook first. */
export function drawSet(
  i: number,
  runs: readonly { readonly run: string; readonly F: number }[],
  prompts: readonly string[],
): Drawn {
  const rng = createRng(`first token/${i}`);
  const piece = i % 5 === 4 ? 2 : 1;
  const change = (j: number): Change => {
    const { run, F } = runs[j % runs.length]!;
    const mode = rng.pick(MODES);
    // A rule looks at its own hook or at an earlier one.
    const seen = rng.pick(runs.slice(j % runs.length));
    return {
      ...{ run, latent: rng.int(F), mode, value: mode === 'scale' ? rng.uniform() * 2 : rng.uniform() * 30 },
      positions: piece === 2 ? 'generated' : rng.uniform() < 0.5 ? 'all' : [[-4, null]],
      ...(j % 3 === 2 && mode !== 'suppress'
        ? { when: { run: seen.run, latent: rng.int(seen.F), above: rng.uniform() } }
        : {}),
    } as Change;
  };
  return {
    changes: Array.from({ length: SIZES[i % SIZES.length]! }, (_, j) => change(j)),
    prompt: prompts[i % prompts.length]!,
    piece,
  };
}

/** Milliseconds until so many pieces had come, or the text had ended. The rest of it comes untimed: the next change waits for nobody. */
async function until(pieces: AsyncIterable<unknown>, piece: number, began: number): Promise<number> {
  let seen = 0;
  let ms: number | undefined;
  for await (const _ of pieces) if (++seen === piece) ms = performance.now() - began;
  return ms ?? performance.now() - began;
}

/** Sessions that the engine opens while `body` runs. */
export async function countSessions<T>(body: () => Promise<T>): Promise<{ result: T; sessions: number }> {
  const { InferenceSession } = getPlatform().ort;
  const { create } = InferenceSession;
  let sessions = 0;
  InferenceSession.create = ((...args: Parameters<typeof create>) => {
    sessions++;
    return create.apply(InferenceSession, args);
  }) as typeof create;
  try {
    return { result: await body(), sessions };
  } finally {
    InferenceSession.create = create;
  }
}

export type FirstTokens = {
  /** ms of every change, and of the same prompts without one. */
  readonly steered: readonly number[];
  readonly unsteered: readonly number[];
  /** Opened by the warm-up, and by the changes. */
  readonly sessions: { readonly warm: number; readonly changes: number };
};

type Options = {
  readonly demo: string;
  readonly hooks: readonly string[];
  readonly prompts: readonly string[];
  readonly changes: number;
  readonly threads: number;
};

/** Times in turns: a change, then the same prompt without one. */
async function inTurns(
  one: (set: Drawn | undefined, prompt: string, piece: number) => Promise<number>,
  draw: (i: number) => Drawn,
  changes: number,
): Promise<FirstTokens> {
  // Sets of the same kinds as those that are timed, and another set at every hook.
  const warm = await countSessions(async () => {
    for (let i = -2 * SIZES.length; i < 0; i++) {
      const set = { ...draw(i - 1000 * i), piece: 1 as const };
      await one(set, set.prompt, 1);
      await one(undefined, set.prompt, 1);
    }
  });
  const [steered, unsteered]: number[][] = [[], []];
  const { sessions } = await countSessions(async () => {
    for (let i = 0; i < changes; i++) {
      const set = draw(i);
      steered!.push(await one(set, set.prompt, set.piece));
      unsteered!.push(await one(undefined, set.prompt, set.piece));
    }
  });
  return { steered: steered!, unsteered: unsteered!, sessions: { warm: warm.sessions, changes: sessions } };
}

/** In the library, with a direction at the output of the last block's attention beside the latents. */
export async function firstTokensOfLibrary(options: Options): Promise<FirstTokens> {
  const { demo, hooks, prompts, changes, threads } = options;
  const model: Model = await openModel(`${demo}/model`, { threads });
  try {
    const saes = new Map<string, Sae>();
    for (const hook of hooks) saes.set(hook, await loadSae(`${demo}/saes/${hook}`));
    const runs = hooks.map((run) => ({ run, F: saes.get(run)!.config.F }));
    const third = model.hooks.filter(({ name }) => name.endsWith('hook_attn_out')).at(-1)!.name;
    const one = async (set: Drawn | undefined, prompt: string, piece: number): Promise<number> => {
      const rng = createRng(prompt);
      const vector = Float32Array.from({ length: model.info.D }, () => rng.normal() / 10);
      const began = performance.now();
      const specs = set?.changes.map(({ run, when, ...rest }) => ({
        ...rest,
        sae: saes.get(run)!,
        ...(when ? { when: { sae: saes.get(when.run)!, latent: when.latent, above: when.above } } : {}),
      }));
      const interventions =
        specs && (await steer(model, [...specs, { vector, hook: third, mode: 'add', value: 1 }]));
      const sampling = { maxNewTokens: PIECES, temperature: 1, seed: prompt };
      return await until(
        model.stream(prompt, { ...sampling, ...(interventions ? { interventions } : {}) }),
        piece,
        began,
      );
    };
    return await inTurns(one, (i) => drawSet(i, runs, prompts), changes);
  } finally {
    await model.close();
  }
}

/** Over HTTP, asked from this process: what the client does counts, too. */
export async function firstTokensOverHttp(options: Options): Promise<FirstTokens> {
  const { demo, hooks, prompts, changes, threads } = options;
  const config = serveConfigSchema.parse({ port: 0, threads });
  const server = await serve([`${demo}/saes`], config, { version: 'bench' });
  try {
    const runs: { run: string; F: number }[] = [];
    for (const run of hooks) runs.push({ run, F: (await loadSae(`${demo}/saes/${run}`)).config.F });
    const listed = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: { id: string }[] };
    const one = async (set: Drawn | undefined, prompt: string, piece: number): Promise<number> => {
      const began = performance.now();
      const answer = await fetch(`${server.url}/v1/completions`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({
          ...{ model: listed.data[0]!.id, prompt, max_tokens: PIECES, temperature: 1, seed: 1, stream: true },
          ...(set ? { features: { steer: set.changes } } : {}),
        }),
      });
      if (!answer.ok) throw new Error(`status ${answer.status}: ${await answer.text()}`);
      return await until(texts(answer), piece, began);
    };
    return await inTurns(one, (i) => drawSet(i, runs, prompts), changes);
  } finally {
    await server.close();
  }
}

/** Texts of the events of an answer, as they come. */
async function* texts(answer: Response): AsyncGenerator<string> {
  let rest = '';
  const decoder = new TextDecoder();
  for await (const bytes of answer.body!) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
    rest = lines.pop()!;
    for (const line of lines) {
      if (!line.startsWith('data: {')) continue;
      const { choices } = JSON.parse(line.slice(6)) as { choices: { text?: string }[] };
      if (choices[0]?.text) yield choices[0].text;
    }
  }
}
