import { describe, expect, test } from 'vitest';
import { getPlatform } from '../platform/index.ts';
import '../platform/node.ts';
import { createRng } from '../shared/rng.ts';
import { createGraphBuilder, type GraphBuilder } from './builder.ts';
import { cutGraph, liveValues, spliceGraph } from './cut.ts';
import { createSession, relativeToCommonFolder } from './session.ts';
import type { Value, ValueInfo } from './types.ts';

type Fed = { readonly data: Float32Array | Int32Array; readonly dims: readonly number[] };

/** Every element within `digits` decimals. */
function expectClose(actual: readonly number[], expected: readonly number[], digits = 5): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, digits);
}

/** Builds a graph over the given inputs, runs it and returns the values of its outputs. */
async function evaluate(
  feeds: Record<string, Fed>,
  build: (g: GraphBuilder) => readonly Value[],
  types: ReadonlyMap<Value, ValueInfo['type']> = new Map(),
): Promise<number[][]> {
  const { Tensor } = getPlatform().ort;
  const g = createGraphBuilder();
  const type = ({ data }: Fed) => (data instanceof Int32Array ? 'int32' : 'float32');
  for (const [name, fed] of Object.entries(feeds))
    g.input(
      name,
      type(fed),
      fed.dims.map((_, i) => `${name}${i}`),
    );
  const outputs = build(g);
  const session = await createSession(cutGraph(g.graph, outputs), outputs, {
    threads: 1,
    outputTypes: types,
  });
  const tensors = Object.entries(feeds).map(
    ([name, fed]) =>
      [
        name,
        fed.data instanceof Int32Array
          ? new Tensor('int32', fed.data, fed.dims)
          : new Tensor('float32', fed.data, fed.dims),
      ] as const,
  );
  const results = await session.run(Object.fromEntries(tensors));
  const values = outputs.map((name) => Array.from(results[name]!.data as ArrayLike<number | bigint>, Number));
  await session.release();
  return values;
}

const f = (dims: readonly number[], ...values: number[]): Fed => ({ data: Float32Array.from(values), dims });

describe('operators compute what their names say', () => {
  test('gemm with a transposed weight and a bias', async () => {
    const [y] = await evaluate({ x: f([2, 2], 1, 2, 3, 4) }, (g) => [
      g.gemm(
        'x',
        g.float32([3, 2], Float32Array.of(1, 0, 0, 1, 1, 1)),
        g.float32([3], Float32Array.of(10, 20, 30)),
        { transB: true },
      ),
    ]);
    expect(y).toEqual([11, 22, 33, 13, 24, 37]);
  });

  test('root mean square and layer normalisation', async () => {
    const x = [3, -4, 0, 0];
    const [rms, layer] = await evaluate({ x: f([1, 4], ...x) }, (g) => {
      const ones = g.float32([4], Float32Array.of(1, 1, 1, 2));
      return [
        g.rmsNormalization('x', ones, 0.5),
        g.layerNormalization('x', ones, g.float32([4], new Float32Array(4)), 0.5),
      ];
    });
    const scale = Math.sqrt(25 / 4 + 0.5);
    expectClose(
      rms!,
      x.map((v) => v / scale),
    );
    const mean = -0.25;
    const deviation = Math.sqrt(x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 4 + 0.5);
    expectClose(
      layer!,
      x.map((v, i) => ((v - mean) / deviation) * (i === 3 ? 2 : 1)),
    );
  });

  // The engine fuses the pattern where nobody asks for the name, so a model whose norms have names is as fast, and gives the same bits.
  test('a normalisation with a name is the one without, bit for bit, and its value is that before gain and shift', async () => {
    const [N, D] = [33, 64];
    const rng = createRng(7);
    const rows = (n: number): Float32Array => Float32Array.from({ length: n }, () => 3 * rng.normal() + 1);
    const x: Fed = { data: rows(N * D), dims: [N, D] };
    const [gain, shift] = [rows(D), rows(D)];
    const both = (g: GraphBuilder) => [g.float32([D], gain), g.float32([D], shift)] as const;
    const [plain] = await evaluate({ x }, (g) => [g.layerNormalization('x', ...both(g), 1e-5)]);
    const [named] = await evaluate({ x }, (g) => [g.namedLayerNormalization('x', ...both(g), 1e-5, 'name')]);
    expect(named).toEqual(plain);
    const [before, after] = await evaluate({ x }, (g) => {
      const y = g.namedLayerNormalization('x', ...both(g), 1e-5, 'name');
      return ['name', y];
    });
    expectClose(after!, plain!, 4);
    expectClose(
      before!.map((value, i) => value * gain[i % D]! + shift[i % D]!),
      plain!,
      4,
    );
  });

  test('both kinds of GELU', async () => {
    const [exact, tanh] = await evaluate({ x: f([3], -1, 0.5, 2) }, (g) => [
      g.gelu('x', 'none'),
      g.gelu('x', 'tanh'),
    ]);
    // x Phi(x) from tables of the normal distribution.
    expectClose(exact!, [-0.158655, 0.345731, 1.9545], 4);
    expectClose(
      tanh!,
      [-1, 0.5, 2].map((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))),
    );
  });

  test('top k, largest first, with its indices', async () => {
    let names: Value[] = [];
    const [values] = await evaluate({ x: f([2, 4], 1, 9, 3, 7, -1, -2, -3, -4) }, (g) => {
      const { values: v, indices } = g.topK('x', 2);
      names = [v, indices];
      return [v];
    });
    expect(values).toEqual([9, 7, -1, -2]);
    const [, indices] = await evaluate(
      { x: f([1, 4], 1, 9, 3, 7) },
      (g) => {
        const top = g.topK('x', 2);
        return [top.values, top.indices];
      },
      new Map([[names[1]!, 'int64']]),
    );
    expect(indices).toEqual([1, 3]);
  });

  test('gather, slice with a step, concat, split, transpose, reshape, where, softmax', async () => {
    const table = f([3, 2], 1, 2, 3, 4, 5, 6);
    const ids: Fed = { data: Int32Array.of(2, 0), dims: [2] };
    const values = await evaluate({ table, ids }, (g) => {
      const rows = g.gather('table', 'ids');
      const [left, right] = g.split(rows, 2, 1) as [string, string];
      return [
        rows,
        g.slice('table', 0, 3, 0, 2),
        g.concat([right, left], 1),
        g.transpose(rows, [1, 0]),
        g.reshape(g.transpose('table', [1, 0]), [-1]),
        g.where(g.op('Greater', ['table', g.scalar(3)]), g.scalar(0), 'table'),
        g.softmax(g.op('Log', [rows])),
      ];
    });
    expect(values.slice(0, 6)).toEqual([
      [5, 6, 1, 2],
      [1, 2, 5, 6],
      [6, 5, 2, 1],
      [5, 1, 6, 2],
      [1, 3, 5, 2, 4, 6],
      [1, 2, 3, 0, 0, 0],
    ]);
    expectClose(values[6]!, [5 / 11, 6 / 11, 1 / 3, 2 / 3], 6);
  });
});

describe('names', () => {
  test('a value with two names is fetched under both', async () => {
    const values = await evaluate({ x: f([1], 4) }, (g) => {
      const once = g.named('once', g.add('x', g.scalar(1)));
      return [once, g.named('twice', once), g.named('input again', 'x')];
    });
    expect(values).toEqual([[5], [5], [4]]);
  });

  test('a name is given once', () => {
    const g = createGraphBuilder();
    g.input('x', 'float32', [1]);
    expect(() => g.input('x', 'float32', [1])).toThrow('x is defined twice');
    expect(() => g.named('x', g.add('x', 'x'))).toThrow('x is defined twice');
  });
});

describe('cut and splice', () => {
  const build = () => {
    const g = createGraphBuilder();
    g.input('a', 'float32', ['n']);
    g.input('b', 'float32', ['n']);
    const sum = g.named('sum', g.add('a', g.float32([1], Float32Array.of(1))));
    const [left] = g.ops('Split', [sum], 2, { axis: 0, num_outputs: 2 });
    g.named('left', left!);
    g.named('product', g.mul(sum, 'b'));
    return g.graph;
  };

  test('unneeded nodes, inputs and weights go; a node with one needed output stays', () => {
    const left = cutGraph(build(), ['left']);
    expect(left.nodes.map((node) => node.op)).toEqual(['Add', 'Split']);
    expect([...left.inputs.keys()]).toEqual(['a']);
    const replaced = cutGraph(build(), ['product'], new Map([['sum', { type: 'float32', dims: ['n'] }]]));
    expect(replaced.nodes.map((node) => node.op)).toEqual(['Mul']);
    expect([...replaced.inputs.keys()].sort()).toEqual(['b', 'sum']);
    expect(replaced.initializers.size).toBe(0);
    expect(cutGraph(build(), ['a']).nodes).toEqual([]);
  });

  test('a splice is read by everything behind it and by who fetches the name', async () => {
    const graph = spliceGraph(build(), 'sum', (before) => [
      { op: 'Neg', domain: '', inputs: [before], outputs: ['sum'], attributes: {} },
    ]);
    const outputs = ['sum', 'left', 'product'];
    const session = await createSession(cutGraph(graph, outputs), outputs, { threads: 1 });
    const { Tensor } = getPlatform().ort;
    const run = await session.run({
      a: new Tensor('float32', [1, 2], [2]),
      b: new Tensor('float32', [10, 100], [2]),
    });
    expect(outputs.map((name) => [...(run[name]!.data as Float32Array)])).toEqual([
      [-2, -3],
      [-2],
      [-20, -300],
    ]);
    await session.release();
    expect(() => spliceGraph(build(), 'nowhere', () => [])).toThrow(/computes no value nowhere/);
  });
});

describe('the folder that weight files share', () => {
  test.each([
    [['/a/b/c.bin'], '/a/b', ['c.bin']],
    [['/a/b/c.bin', '/a/b/d/e.bin'], '/a/b', ['c.bin', 'd/e.bin']],
    [['/a/blobs/1', '/z/blobs/2'], '/', ['a/blobs/1', 'z/blobs/2']],
    [['/a/ab/1', '/a/abc/2'], '/a', ['ab/1', 'abc/2']],
    [['C:\\m\\a.bin', 'C:\\m\\x\\b.bin'], 'C:\\m', ['a.bin', 'x/b.bin']],
  ])('%j', (paths, folder, names) => {
    expect(relativeToCommonFolder(paths)).toEqual({ folder, names });
  });

  test('two drives have none', () => {
    expect(() => relativeToCommonFolder(['C:\\a.bin', 'D:\\b.bin'])).toThrow(/different drives/);
  });
});

describe('what lives over a cut', () => {
  const g = createGraphBuilder();
  g.input('x', 'float32', ['N']);
  g.input('other', 'float32', ['N']);
  const a = g.named('a', g.add('x', g.scalar(1)));
  const weight = g.exp(g.float32([1], Float32Array.of(2)));
  const h = g.named('h', g.mul(a, a));
  const h2 = g.named('h2', g.exp('other'));
  const inner = g.named('inner', g.mul(h, weight));
  g.named('y', g.add(g.add(g.mul(inner, a), h2), 'x'));
  g.named('unread', g.exp(inner));

  test('is what the rest reads and does not compute, without inputs and without constants', () => {
    expect(liveValues(cutGraph(g.graph, ['h', 'y']), ['h'], ['h', 'y'])).toEqual(['a', 'h', 'h2']);
    expect(liveValues(cutGraph(g.graph, ['h', 'inner']), ['h'], ['h', 'inner'])).toEqual(['h']);
  });

  test('is nothing made from a value that is still to be replaced', () => {
    const wanted = ['h', 'inner', 'y'];
    expect(liveValues(cutGraph(g.graph, wanted), ['h', 'inner'], wanted)).toEqual(['a', 'h', 'h2']);
    // h2 is about to be replaced as well, and does not depend on h: it is had now, as it is.
    expect(liveValues(cutGraph(g.graph, ['h', 'h2', 'y']), ['h', 'h2'], ['h', 'h2', 'y'])).toEqual([
      'a',
      'h',
      'h2',
    ]);
  });

  test('includes what is wanted and lies before the cut', () => {
    expect(liveValues(cutGraph(g.graph, ['inner', 'h']), ['inner'], ['inner', 'h'])).toEqual(['h', 'inner']);
  });
});
