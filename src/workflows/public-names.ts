/** What a run says -> what everybody may read: of a local path only its last part stays, names of the hub and addresses stay whole. */
import { existsSync } from 'node:fs';
import { parseModelId } from '../hub/index.ts';
import type { Provenance, Run } from '../shared/run.ts';

type IsHub = (text: string) => boolean;

/** Fields whose text is no path, whatever it looks like. */
const NO_PATHS: ReadonlySet<string> = new Set(['seeds', 'textField', 'roles']);

/** Of `texts/a.jsonl#body=0.5` the path, and what says how it is read. */
const DATA = /^(.*?)((?:#[^#/\\]+)?(?:=\d*\.?\d+)?)$/s;
const lastPart = (path: string): string =>
  path
    .split(/[\\/]+/)
    .filter((part) => !['', '.', '..', '~'].includes(part))
    .at(-1) ?? 'local';

function publicText(text: string, isHub: IsHub): string {
  if (/^https?:\/\//.test(text)) return text;
  // Sentences name several paths: "held-out files: a.txt, b.txt".
  return text
    .split(/(: |, |; )/)
    .map((piece) => {
      const [, path = '', reading = ''] = DATA.exec(piece) ?? [];
      return /[\\/]/.test(path) && !isHub(path) ? lastPart(path) + reading : piece;
    })
    .join('');
}

function publicValue<T>(value: T, isHub: IsHub): T {
  const walk = (inner: unknown): unknown => {
    if (typeof inner === 'string') return publicText(inner, isHub);
    if (Array.isArray(inner)) return inner.map(walk);
    if (typeof inner !== 'object' || inner === null) return inner;
    return Object.fromEntries(
      Object.entries(inner).map(([key, field]) => [key, NO_PATHS.has(key) ? field : walk(field)]),
    );
  };
  return walk(value) as T;
}

/** The repositories that a run's model and data came from. */
export function hubNames({ model, data: files }: Pick<Provenance, 'model' | 'data'>): {
  readonly model: string | undefined;
  readonly data: string[];
} {
  const data = files.flatMap(({ path }) => /^([^/]+\/[^/@]+)@[0-9a-f]{40}\//.exec(path)?.[1] ?? []);
  return {
    model: model?.commit === undefined ? undefined : model.name,
    data: [...new Set(data)],
  };
}

/** Makes values public: by what a run says of its names, else by what looks like a name of the hub and is no path here. */
export function createPublic(run?: Run): <T>(value: T) => T {
  const isLikeHub: IsHub = (text) => parseModelId(text) !== undefined && !existsSync(text);
  if (!run) return (value) => publicValue(value, isLikeHub);
  const { provenance } = run;
  const names = new Set(Object.values(hubNames(provenance)).flat());
  // Stored activations say which model they are from, and no commit.
  const { model } = provenance.activations ?? {};
  if (model !== undefined && isLikeHub(model)) names.add(model);
  const isHub: IsHub = (text) => {
    const [name = ''] = /^[^/\s]+\/[^/@:#=\s]+(?=$|[@:#=])/.exec(text) ?? [];
    return names.has(name);
  };
  return (value) => publicValue(value, isHub);
}
