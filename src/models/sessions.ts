/**
 * The sessions of one model, each a graph cut to one purpose. A session holds its own copy of the weights it needs, so
 * only the most recently used are kept.
 */
import type { InferenceSession } from 'onnxruntime-common';
import {
  createSession,
  cutGraph,
  type Graph,
  type SessionOptions,
  type SteerSite,
  spliceBus,
  spliceSteering,
  type Value,
  type ValueInfo,
} from '../graph/index.ts';
import { type ByteSource, getPlatform, type Ort } from '../platform/index.ts';
import { type CachedModel, cachedGraph } from './generation/cached-graph.ts';
import { createHalfTables } from './half-tables.ts';

/** Evaluation with splices uses five; above that, reopening costs less than the memory. */
const MAX_SESSIONS = 6;

export type Purpose = {
  readonly outputs: readonly Value[];
  /** Values that are fed instead of computed. */
  readonly given?: ReadonlyMap<Value, ValueInfo>;
  readonly steer?: { readonly hook: Value; readonly width: number };
  /** Places where it can be steered, in the order in which they are computed. */
  readonly bus?: readonly SteerSite[];
  /** With a cache of keys and values, for generation; the head reads some rows of `last`. */
  readonly cached?: CachedModel;
};

export type Feeds = Readonly<Record<string, () => InstanceType<Ort['Tensor']>>>;

type Slot = {
  session: Promise<InferenceSession>;
  inputs: readonly string[];
  /** What it is fed in every run. */
  fed: () => Promise<Feeds>;
  running: number;
  retired: boolean;
};

/** The graph for a purpose: steering spliced in, replaced values turned into inputs, everything unneeded cut away. */
export function graphFor(graph: Graph, { outputs, given, steer, bus, cached }: Purpose): Graph {
  const added = steer ? spliceSteering(graph, steer.hook, steer.width) : graph;
  const steered = bus ? spliceBus(added, bus) : added;
  if (!cached) return cutGraph(steered, outputs, given);
  // Where the bus reads and writes there is a row for every token, too.
  const wanted = [...outputs, ...(bus ?? []).flatMap(({ reads, writes }) => [reads, writes])];
  return cutGraph(cachedGraph(steered, cached, wanted), outputs, given);
}

/** Made once for an array that comes with every token. */
function onceFor<Values extends object>(make: (values: Values) => string): (values: Values) => string {
  const known = new WeakMap<Values, string>();
  return (values) => {
    const key = known.get(values) ?? make(values);
    known.set(values, key);
    return key;
  };
}
const outputsKey = onceFor((outputs: Purpose['outputs']) => [...outputs].sort().join());
const busKey = onceFor((sites: NonNullable<Purpose['bus']>) =>
  JSON.stringify(sites.map(({ writes, reads, slot }) => [writes, reads, slot])),
);

/** What all sessions of a model have in common. */
export type SessionSettings = Pick<SessionOptions, 'threads' | 'mapped' | 'device'>;

export type Sessions = ReturnType<typeof createSessions>;

export function createSessions(graph: Graph, weightFiles: readonly ByteSource[], options: SessionSettings) {
  const slots = new Map<string, Slot>();
  let closed = false;
  const { kind, ort } = getPlatform();
  // In a browser, and on a GPU, what is fed is copied in every run.
  const inPlace = kind === 'node' && (options.device ?? 'cpu') === 'cpu' && !options.mapped;
  const tables = createHalfTables(graph, weightFiles, ort);

  const release = (slot: Slot) => slot.session.then((session) => session.release()).catch(() => undefined);

  /** Releases now, or after the run in progress. */
  async function retire(key: string): Promise<void> {
    const slot = slots.get(key);
    if (!slot) return;
    slots.delete(key);
    slot.retired = true;
    if (slot.running === 0) await release(slot);
  }

  function slotFor(purpose: Purpose): Slot {
    const rest = JSON.stringify([
      outputsKey(purpose.outputs),
      [...(purpose.given?.keys() ?? [])].sort(),
      purpose.steer?.hook ?? '',
      purpose.cached !== undefined,
      purpose.bus !== undefined,
    ]);
    const key = rest + (purpose.bus ? busKey(purpose.bus) : '');
    let slot = slots.get(key);
    if (slot) slots.delete(key);
    else {
      // A bus with more places takes the place of the one before.
      for (const other of slots.keys()) if (purpose.bus && other.startsWith(rest)) void retire(other);
      const whole = graphFor(graph, purpose);
      // Text is written row by row: there the engine's own layout counts more.
      const { cut, fed } =
        inPlace && !purpose.cached ? tables.feed(whole) : { cut: whole, fed: async () => ({}) };
      slot = {
        session: createSession(cut, [...purpose.outputs].sort(), {
          rows: purpose.cached ? 'few' : 'many',
          ...options,
          weightFiles,
        }),
        inputs: [...cut.inputs.keys()],
        fed,
        running: 0,
        retired: false,
      };
      // A session that failed to open must not be found again.
      slot.session.catch(() => slots.delete(key));
    }
    slots.set(key, slot);
    while (slots.size > MAX_SESSIONS) void retire(slots.keys().next().value!);
    return slot;
  }

  return {
    graph,
    mapped: options.mapped === true,
    device: options.device ?? 'cpu',
    /** Runs the graph for a purpose and returns its outputs, or those in `fetched`; only feeds that survived its cut are made. */
    async run(
      purpose: Purpose,
      feeds: Feeds,
      fetched: readonly Value[] = purpose.outputs,
    ): Promise<InferenceSession.OnnxValueMapType> {
      if (closed) throw new Error('The model was closed');
      const slot = slotFor(purpose);
      slot.running++;
      try {
        const session = await slot.session;
        const own = await slot.fed();
        const values = slot.inputs.map((name) => {
          const feed = own[name] ?? feeds[name];
          if (!feed) throw new Error(`The graph for ${purpose.outputs.join(', ')} needs an input ${name}`);
          return [name, feed()] as const;
        });
        return await session.run(Object.fromEntries(values), fetched);
      } finally {
        slot.running--;
        if (slot.retired && slot.running === 0) await release(slot);
      }
    },
    async close(): Promise<void> {
      closed = true;
      tables.clear();
      await Promise.all([...slots.keys()].map(retire));
    },
  };
}
