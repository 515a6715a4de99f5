/** Hooks: the place in the site, an answer of the server, the name of a latent, keys. */
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { addressOf } from './address.ts';
import { api, type FeatureName, Refused } from './api.ts';

const listeners = new Set<() => void>();
window.addEventListener('popstate', () => {
  for (const listener of listeners) listener();
});

/** Goes to a path of the site without loading it anew. One too long for an address is kept whole with this entry of the history. */
export function go(path: string, { replace = false } = {}): void {
  const address = addressOf(path);
  history[replace ? 'replaceState' : 'pushState'](address === path ? null : path, '', address);
  for (const listener of listeners) listener();
}

const here = (): string => (history.state as string | null) ?? location.href;
/** Whether a copied link leads to all that is here. */
export const inAddress = (): boolean => history.state === null;

export function usePlace(): URL {
  const href = useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, here);
  return new URL(href, location.href);
}

/** Changes search parameters in place: what is shown can be copied as a link. Without `replace`, Back brings those before. */
export function setParams(
  params: Readonly<Record<string, string | undefined>>,
  { replace = true } = {},
): void {
  const url = new URL(here(), location.href);
  for (const [name, value] of Object.entries(params))
    if (value === undefined) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  go(url.pathname + url.search, { replace });
}

export type Answer<T> = {
  /** The latest that came, also while the next one is awaited. */
  readonly value: T | undefined;
  readonly error: string | undefined;
  /** The answer would be the same again: there is no such thing, or it cannot be asked so. */
  readonly refused: boolean;
  /** Waiting for longer than a blink: say so. */
  readonly slow: boolean;
  readonly waiting: boolean;
  /** Asks once more. */
  readonly again: () => void;
};

type State<T> = {
  readonly key?: string;
  readonly value?: T;
  readonly error?: string;
  readonly refused?: boolean;
};
const NOTHING: State<never> = {};

/**
 * Asks when `key` changes: at once, or, while an answer is still awaited, `delay` ms after the last change. What is no longer wanted is
 * stopped. undefined asks nothing, and there is no answer then.
 */
export function useAnswer<T>(
  key: string | undefined,
  ask: (signal: AbortSignal) => Promise<T>,
  { delay = 0, keep = true } = {},
): Answer<T> {
  const [state, setState] = useState<State<T>>(NOTHING);
  const [slow, setSlow] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  const asking = useRef(false);
  useEffect(() => {
    if (key === undefined) {
      setState(NOTHING);
      asking.current = false;
      return;
    }
    const controller = new AbortController();
    const wait = asking.current ? delay : 0;
    asking.current = true;
    const blink = setTimeout(() => setSlow(true), 300 + wait);
    const start = setTimeout(async () => {
      try {
        const value = await latest.current(controller.signal);
        if (!controller.signal.aborted) setState({ key, value });
      } catch (error) {
        if (controller.signal.aborted) return;
        setState((before) => ({
          key,
          ...(before.value === undefined ? {} : { value: before.value }),
          error: error instanceof Refused ? error.message : String(error),
          refused: error instanceof Refused && [400, 404].includes(error.status),
        }));
      } finally {
        clearTimeout(blink);
        if (!controller.signal.aborted) {
          setSlow(false);
          asking.current = false;
        }
      }
    }, wait);
    return () => {
      controller.abort();
      clearTimeout(start);
      clearTimeout(blink);
      setSlow(false);
    };
  }, [key, delay, attempt]);
  const { value, error, refused } = key === undefined ? NOTHING : state;
  const waiting = key !== undefined && state.key !== key;
  return {
    value: keep || !waiting ? value : undefined,
    error: waiting ? undefined : error,
    refused: !waiting && refused === true,
    slow: slow && waiting,
    waiting,
    again: () => {
      setState(({ value }) => (value === undefined ? {} : { value }));
      setAttempt(attempt + 1);
    },
  };
}

/** Label, guess, rarity and maximum of one latent. */
export const useName = (run: string, latent: number): Answer<FeatureName | undefined> =>
  useAnswer(
    `${run} #${latent}`,
    async (signal) => (await api.search(run, `#${latent}`, { limit: 1 }, signal)).features[0],
  );

/** Single keys, when nothing is being typed and no dialog is open. */
export function useKeys(keys: Readonly<Record<string, () => void>>): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const { target, key, ctrlKey, metaKey, altKey } = event;
      if (ctrlKey || metaKey || altKey) return;
      if (document.querySelector('dialog[open]')) return;
      if (
        target instanceof HTMLElement &&
        target.closest('input:not([type=range]), textarea, select, [contenteditable]')
      )
        return;
      const action = latest.current[key];
      if (!action) return;
      event.preventDefault();
      action();
    };
    window.addEventListener('keydown', press);
    return () => window.removeEventListener('keydown', press);
  }, []);
}
