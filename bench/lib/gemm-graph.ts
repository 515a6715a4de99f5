/**
 * The encoder product as one ONNX graph, built by hand so that the baseline does not lean on what it judges:
 *
 *   x [b, D], W [f, D], bias [f]  ->  pre = x W^T + bias [b, f]            (topk = 0)
 *                                 ->  values, indices [b, topk]            (topk > 0)
 */
import onnxProto from 'onnx-proto';

const { onnx } = onnxProto;

const FLOAT = onnx.TensorProto.DataType.FLOAT;
const INT64 = onnx.TensorProto.DataType.INT64;

function valueInfo(name: string, elemType: number, dims: (string | number)[]) {
  return onnx.ValueInfoProto.create({
    name,
    type: {
      tensorType: {
        elemType,
        shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) },
      },
    },
  });
}

/** Serialised model; `topk` 0 returns the product itself. */
export function gemmGraph(D: number, f: number, topk: number): Uint8Array {
  const node = [
    onnx.NodeProto.create({
      opType: 'Gemm',
      input: ['x', 'W', 'bias'],
      output: ['pre'],
      attribute: [{ name: 'transB', type: onnx.AttributeProto.AttributeType.INT, i: 1 }],
    }),
  ];
  if (topk > 0)
    node.push(onnx.NodeProto.create({ opType: 'TopK', input: ['pre', 'k'], output: ['values', 'indices'] }));
  const output =
    topk > 0
      ? [valueInfo('values', FLOAT, ['b', topk]), valueInfo('indices', INT64, ['b', topk])]
      : [valueInfo('pre', FLOAT, ['b', f])];
  const model = onnx.ModelProto.create({
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'encoder-product',
      node,
      initializer:
        topk > 0
          ? [
              {
                name: 'k',
                dataType: INT64,
                dims: [1],
                rawData: new Uint8Array(new BigInt64Array([BigInt(topk)]).buffer),
              },
            ]
          : [],
      input: [valueInfo('x', FLOAT, ['b', D]), valueInfo('W', FLOAT, [f, D]), valueInfo('bias', FLOAT, [f])],
      output,
    },
  });
  return onnx.ModelProto.encode(model).finish();
}
