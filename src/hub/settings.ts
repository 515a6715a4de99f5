/**
 * Where the hub is and where its files are kept, from the same variables as Python's huggingface_hub, so that both share one cache:
 *
 *     HF_ENDPOINT                               the hub's address
 *     HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE       the cache; else HF_HOME/hub; else XDG_CACHE_HOME/huggingface/hub; else ~/.cache/huggingface/hub
 *     HF_TOKEN, HF_HUB_TOKEN                    the access token; else the file HF_TOKEN_PATH; else HF_HOME/token
 *     HF_HUB_OFFLINE                            1: the cache only
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { HubId } from './types.ts';

export type HubSettings = {
  /** Without a slash at the end. */
  readonly endpoint: string;
  readonly cache: string;
  /** For what is ours and no file of the hub. */
  readonly assets: string;
  readonly token: string | undefined;
  readonly offline: boolean;
};

type Environment = Readonly<Record<string, string | undefined>>;

const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? '');
const expandHome = (path: string): string => path.replace(/^~(?=$|[\\/])/, homedir());

export function hubSettings(env: Environment = process.env): HubSettings {
  const home = expandHome(
    env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface'),
  );
  return {
    endpoint: (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, ''),
    cache: expandHome(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, 'hub')),
    assets: join(expandHome(env.HF_ASSETS_CACHE || join(home, 'assets')), 'saekit'),
    token: readToken(env, home),
    offline: isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
  };
}

function readToken(env: Environment, home: string): string | undefined {
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const given = env.HF_TOKEN || env.HF_HUB_TOKEN || env.HUGGING_FACE_HUB_TOKEN;
  if (given) return given.trim();
  try {
    return readFileSync(expandHome(env.HF_TOKEN_PATH || join(home, 'token')), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

const MODEL = /^([a-z0-9][\w.-]*\/[a-z0-9_][\w.-]*)(?:@([\w./-]+))?$/i;

/** `org/name` or `org/name@revision`; undefined for what cannot be one. */
export function parseModelId(text: string): HubId | undefined {
  const [, name, revision = 'main'] = MODEL.exec(text) ?? [];
  return name === undefined || name.includes('..') ? undefined : { type: 'model', name, revision };
}

/** The address of a repository for people and the library: models have no prefix. */
export const repoPath = ({ type, name }: Pick<HubId, 'type' | 'name'>): string =>
  type === 'model' ? name : `datasets/${name}`;
