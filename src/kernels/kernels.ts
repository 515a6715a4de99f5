import { wasmBase64 } from './wasm.ts';

/** A function of assembly/index.ts: numbers in (byte offsets, sizes, scalars), at most one number out. */
type Kernel = (...args: number[]) => number;

/** The kernels of assembly/, bound to one memory. Their contracts are in the doc comments there. */
export type Kernels = {
  readonly [name in
    | 'centre'
    | 'columnSums'
    | 'rowError'
    | 'squaredSum'
    | 'sumRows'
    | 'auxPrepare'
    | 'countAbove'
    | 'auxCollect'
    | 'foldSign'
    | 'gatherColumns'
    | 'selectAbove'
    | 'selectTile'
    | 'sortHeaps'
    | 'mergeTopK'
    | 'transposeEntries'
    | 'decodeRows'
    | 'accumulateAux'
    | 'accumulateThrough'
    | 'adamVector'
    | 'collectAbove'
    | 'collectBatch'
    | 'countBins'
    | 'countBits'
    | 'entriesByPrefix'
    | 'entriesByRow'
    | 'excess'
    | 'gatedMagnitudes'
    | 'keepAbove'
    | 'keepBest'
    | 'orderByRow'
    | 'powerSum'
    | 'unfoldSign'
    | 'quantiseRows'
    | 'rescore'
    | 'screenedEntries'
    | 'screenTile'
    | 'movingAverage'
    | 'updateLatents']: Kernel;
};

let compiled: WebAssembly.Module | undefined;

/** Instantiates the kernels over a memory. */
export function createKernels(memory: WebAssembly.Memory): Kernels {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(wasmBase64), (c) => c.charCodeAt(0)));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as Kernels;
}
