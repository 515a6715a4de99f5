import onnxProto, { type onnx as Onnx } from 'onnx-proto';
import { describe, expect, test } from 'vitest';
import '../platform/node.ts';
import { fromBytes, getPlatform } from '../platform/index.ts';
import { createRng } from '../shared/rng.ts';
import { cutGraph } from './cut.ts';
import { type DecodeOptions, decodeModel, type OnnxModel } from './decode.ts';
import { createSession } from './session.ts';
import { readSkeleton } from './skeleton.ts';

const { onnx } = onnxProto;
const { AttributeType } = onnx.AttributeProto;

const info = (name: string, elemType: number, dims: (number | string)[]): Onnx.IValueInfoProto => ({
  name,
  type: {
    tensorType: {
      elemType,
      shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) },
    },
  },
});
const floats = (name: string, dims: number[], seed = name): Onnx.ITensorProto => {
  const rng = createRng(seed);
  const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => rng.uniform() - 0.5);
  return { name, dims, dataType: 1, rawData: new Uint8Array(data.buffer) };
};
const model = (
  graph: Onnx.IGraphProto,
  opsets: Record<string, number> = { '': 17, 'com.microsoft': 1 },
): Uint8Array =>
  onnx.ModelProto.encode({
    irVersion: 8,
    opsetImport: Object.entries(opsets).map(([domain, version]) => ({ domain, version })),
    graph: { name: 'g', ...graph },
  }).finish();

async function read(bytes: Uint8Array, options: DecodeOptions = {}): Promise<OnnxModel> {
  return decodeModel(await readSkeleton(fromBytes(bytes), 'f.onnx'), { name: 'f.onnx', ...options });
}

/** The file as the engine runs it, and as we read, cut and write it. */
async function bothWays(
  bytes: Uint8Array,
  outputs: string[],
  feeds: Record<string, { data: Float32Array | Uint8Array; dims: number[] }>,
  options: DecodeOptions = {},
) {
  const { Tensor, InferenceSession } = getPlatform().ort;
  const tensors = Object.fromEntries(
    Object.entries(feeds).map(([name, { data, dims }]) => [
      name,
      data instanceof Uint8Array ? new Tensor('bool', data, dims) : new Tensor('float32', data, dims),
    ]),
  );
  const whole = await InferenceSession.create(bytes);
  const expected = await whole.run(tensors, outputs);
  const cut = cutGraph((await read(bytes, options)).graph, outputs);
  const session = await createSession(cut, outputs, { weightFiles: [fromBytes(bytes)], threads: 1 });
  const actual = await session.run(
    Object.fromEntries([...cut.inputs.keys()].map((name) => [name, tensors[name]!])),
  );
  const values = outputs.map((name) => [actual[name]!.data, expected[name]!.data]);
  await Promise.all([whole.release(), session.release()]);
  return { values, cut };
}

describe('a file is read as the engine reads it', () => {
  const x = { data: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)), dims: [2, 32] };

  test('large tensors stay in the file, small ones are in the graph', async () => {
    const bytes = model({
      input: [info('x', 1, ['n', 32])],
      output: [info('y', 1, ['n', 32]), info('product', 1, ['n', 32])],
      initializer: [floats('big', [32, 32]), floats('small', [32])],
      node: [
        { opType: 'MatMul', input: ['x', 'big'], output: ['product'] },
        { opType: 'Add', input: ['product', 'small'], output: ['y'] },
      ],
    });
    const { values, cut } = await bothWays(bytes, ['y', 'product'], { x });
    for (const [actual, expected] of values) expect(actual).toEqual(expected);
    expect(cut.initializers.get('big')!.data).toMatchObject({ file: 0, length: 4096 });
    expect(cut.initializers.get('small')!.data).toBeInstanceOf(Uint8Array);
  });

  test('an If on a known switch gives way to its branch, any other stays with what its branches read', async () => {
    const branch = (name: string, op: string): Onnx.IGraphProto => ({
      name,
      initializer: [floats(`${name}_w`, [32, 32], 'w')],
      node: [
        { opType: 'MatMul', input: ['before', `${name}_w`], output: [`${name}_product`] },
        { opType: op, input: [`${name}_product`], output: ['y'] },
      ],
      output: [{ name: 'y' }],
    });
    const bytes = model({
      input: [info('x', 1, ['n', 32]), info('use_cache_branch', 9, [1])],
      output: [info('z', 1, ['n', 32])],
      node: [
        { opType: 'Neg', input: ['x'], output: ['before'] },
        {
          opType: 'If',
          input: ['use_cache_branch'],
          output: ['y'],
          attribute: [
            { name: 'then_branch', type: AttributeType.GRAPH, g: branch('cached', 'Abs') },
            { name: 'else_branch', type: AttributeType.GRAPH, g: branch('plain', 'Tanh') },
          ],
        },
        { opType: 'Sigmoid', input: ['y'], output: ['z'] },
      ],
    });
    for (const flag of [0, 1]) {
      const feeds = { x, use_cache_branch: { data: Uint8Array.of(flag), dims: [1] } };
      const lifted = await bothWays(bytes, ['z'], feeds, {
        known: new Map([['use_cache_branch', flag === 1]]),
      });
      expect(lifted.cut.nodes.map(({ op }) => op)).toEqual([
        'Neg',
        'MatMul',
        flag ? 'Abs' : 'Tanh',
        'Sigmoid',
      ]);
      expect([...lifted.cut.inputs.keys()]).toEqual(['x']);
      expect(lifted.values[0]![0]).toEqual(lifted.values[0]![1]);
      const kept = await bothWays(bytes, ['z'], feeds);
      expect(kept.cut.nodes.map(({ op }) => op)).toEqual(['Neg', 'If', 'Sigmoid']);
      expect(kept.values[0]![0]).toEqual(kept.values[0]![1]);
    }
  });

  test.each(['SkipSimplifiedLayerNormalization', 'SkipLayerNormalization'])(
    '%s becomes a sum and a norm',
    async (opType) => {
      const simplified = opType.includes('Simplified');
      const tensors = [
        floats('scale', [32]),
        ...(simplified ? [] : [floats('shift', [32])]),
        floats('bias', [32]),
      ];
      const bytes = model({
        input: [info('x', 1, ['n', 32])],
        output: [info('norm', 1, ['n', 32]), info('sum', 1, ['n', 32])],
        initializer: tensors,
        node: [
          { opType: 'Tanh', input: ['x'], output: ['branch'] },
          {
            opType,
            domain: 'com.microsoft',
            input: ['x', 'branch', ...tensors.map(({ name }) => name!)],
            output: ['norm', '', '', 'sum'],
            attribute: [{ name: 'epsilon', type: AttributeType.FLOAT, f: 1e-3 }],
          },
        ],
      });
      const { values, cut } = await bothWays(bytes, ['norm', 'sum'], { x });
      for (const [actual, expected] of values)
        for (const [i, value] of (expected as Float32Array).entries())
          expect((actual as Float32Array)[i]).toBeCloseTo(value, 5);
      expect(cut.nodes.map(({ op }) => op)).toEqual([
        'Tanh',
        'Add',
        'Add',
        simplified ? 'SimplifiedLayerNormalization' : 'LayerNormalization',
      ]);
    },
  );

  test('nodes out of order are put in order', async () => {
    const { graph } = await read(
      model({
        input: [info('x', 1, [4])],
        output: [info('c', 1, [4])],
        node: [
          { opType: 'Neg', input: ['b'], output: ['c'] },
          { opType: 'Abs', input: ['x'], output: ['a'] },
          { opType: 'Tanh', input: ['a'], output: ['b'] },
        ],
      }),
    );
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Abs', 'Tanh', 'Neg']);
  });
});

describe('a file that contradicts itself is refused with a sentence', () => {
  const base = (change: (graph: Onnx.IGraphProto) => void): Uint8Array => {
    const graph: Onnx.IGraphProto = {
      input: [info('x', 1, [4, 4])],
      output: [info('y', 1, [4, 4])],
      initializer: [floats('w', [4, 4])],
      node: [{ opType: 'MatMul', input: ['x', 'w'], output: ['y'] }],
    };
    change(graph);
    return model(graph);
  };
  const external = (entries: Record<string, string>): Onnx.ITensorProto => ({
    ...{ name: 'w', dims: [4, 4], dataType: 1, dataLocation: 1 },
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
  });
  test.each<[string, Uint8Array, RegExp]>([
    ['nothing', new Uint8Array(0), /no graph with nodes/],
    ['text', new TextEncoder().encode('<html>Not found</html>'), /not a valid ONNX file|no ONNX model/],
    ['a cut-off file', base(() => {}).subarray(0, 90), /not a valid ONNX file/],
    [
      'a missing tensor',
      base((g) => g.initializer!.pop()),
      /node MatMul, which makes "y", reads "w", and nothing makes that/,
    ],
    [
      'a circle',
      base((g) => {
        g.node = [
          { opType: 'Add', input: ['x', 'b'], output: ['a'] },
          { opType: 'Neg', input: ['a'], output: ['b'] },
          { opType: 'Neg', input: ['b'], output: ['y'] },
        ];
      }),
      /circle through "a", "b"/,
    ],
    [
      'a value made twice',
      base((g) => g.node!.push({ opType: 'Neg', input: ['x'], output: ['y'] })),
      /"y" is made twice/,
    ],
    ['an output of nothing', base((g) => g.output!.push({ name: 'z' })), /output "z" is made by no node/],
    [
      'negative dimensions',
      base((g) => {
        g.initializer![0]!.dims = [-4, -4];
      }),
      /dimensions \[-4, -4\]/,
    ],
    [
      'absurd dimensions',
      base((g) => {
        g.initializer![0]!.dims = [2 ** 40, 2 ** 40];
      }),
      /float32 \[1099511627776, .* bytes, and has 64/,
    ],
    [
      'too many dimensions',
      base((g) => {
        g.initializer![0]!.dims = Array(99).fill(1);
      }),
      /has dimensions/,
    ],
    [
      'a type that is none',
      base((g) => {
        g.initializer![0]!.dataType = 99;
      }),
      /element type 99/,
    ],
    [
      'weights above the folder',
      base((g) => {
        g.initializer = [external({ location: '../secret' })];
      }),
      /only from the model's own folder/,
    ],
    [
      'weights at the root',
      base((g) => {
        g.initializer = [external({ location: '/etc/passwd' })];
      }),
      /only from the model's own folder/,
    ],
    [
      'weights at no place',
      base((g) => {
        g.initializer = [external({ location: 'w', offset: '-8' })];
      }),
      /offset -8/,
    ],
    [
      'weights of another size',
      base((g) => {
        g.initializer = [external({ location: 'w', length: '8' })];
      }),
      /64 bytes, and has 8/,
    ],
  ])('%s', async (_, bytes, message) => {
    await expect(read(bytes)).rejects.toThrow(message);
  });

  test('a number without end, and messages nested without end', async () => {
    await expect(read(new Uint8Array(64).fill(255))).rejects.toThrow(/number at byte 0 has no end/);
    let inner: Onnx.IGraphProto = {
      name: 'x'.repeat(2000),
      node: [{ opType: 'Neg', input: ['x'], output: ['y'] }],
    };
    for (let depth = 0; depth < 60; depth++)
      inner = {
        node: [
          { opType: 'If', output: ['y'], attribute: [{ name: 'g', type: AttributeType.GRAPH, g: inner }] },
        ],
      };
    await expect(read(model(inner))).rejects.toThrow(/nested more than 40 deep/);
  });
});
