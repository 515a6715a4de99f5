/** A Python peer as a contender: one process, one line in and one line out per turn (protocol in bench/peers/peer.py). */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Contender, Skipped } from './contender.ts';

/** The Python that has torch, from --python or SAEKIT_PYTHON; otherwise why there is none. */
export function findPython(flag: string | undefined): { python: string } | { reason: string } {
  const python = flag ?? process.env.SAEKIT_PYTHON;
  if (!python)
    return { reason: 'no Python given: set SAEKIT_PYTHON or --python to one with torch and numpy' };
  const probe = spawnSync(python, ['-c', 'import torch, numpy'], { encoding: 'utf8' });
  if (probe.status === 0) return { python };
  const said = probe.error?.message ?? probe.stderr.trim().split('\n').at(-1);
  return { reason: `${python} cannot import torch and numpy: ${said}` };
}

/**
 * Starts bench/peers/`script` and waits until it has warmed up; skipped when it cannot start.
 *
 * @param program that runs it: the Python, or node
 */
export async function openPeer(
  program: string,
  script: string,
  args: readonly string[],
): Promise<(Contender & { ask(line: string): Promise<Record<string, unknown>> }) | Skipped> {
  const name = script.replace(/^.*\/|\.\w+$/g, '');
  const path = fileURLToPath(new URL(`../peers/${script}`, import.meta.url));
  const child = spawn(program, [path, '--serve', ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  const next = lineReader(child);
  const ready = await next();
  if (!ready) return { name, skipped: complaint.trim().split('\n').at(-1) || `${script} ended at once` };
  const ask = async (line: string) => {
    child.stdin.write(`${line}\n`);
    const reply = await next();
    if (!reply) throw new Error(`${script} ended during a measurement: ${complaint.trim()}`);
    return reply;
  };
  return {
    name,
    about: { versions: ready.versions, notes: ready.notes, threads: ready.threads },
    ask,
    turn: async () => (await ask('step')).ms as number,
    async close() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      await ended;
    },
  };
}

/** Replies in order; undefined once the process has ended. */
function lineReader(child: ChildProcess): () => Promise<Record<string, unknown> | undefined> {
  const lines: string[] = [];
  const waiting: ((line: string | undefined) => void)[] = [];
  let ended = false;
  const reader = createInterface({ input: child.stdout! });
  reader.on('line', (line) => {
    // Libraries may print too; replies are JSON objects.
    if (!line.startsWith('{')) return;
    const receive = waiting.shift();
    if (receive) receive(line);
    else lines.push(line);
  });
  reader.on('close', () => {
    ended = true;
    for (const receive of waiting.splice(0)) receive(undefined);
  });
  return async () => {
    const line =
      lines.shift() ?? (ended ? undefined : await new Promise<string | undefined>((r) => waiting.push(r)));
    return line === undefined ? undefined : (JSON.parse(line) as Record<string, unknown>);
  };
}
