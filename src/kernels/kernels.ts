import { sharedWasmBase64, wasmBase64 } from './wasm.ts';

/** Bytes of the scratch `keys` of selectTile and sortHeaps. */
export const keyBytes = 16_384;

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

const compiled = new Map<string, WebAssembly.Module>();

/** Instantiates the kernels over a memory, shared between threads or not. */
export function createKernels(memory: WebAssembly.Memory): Kernels {
  const source = memory.buffer instanceof ArrayBuffer ? wasmBase64 : sharedWasmBase64;
  let module = compiled.get(source);
  if (!module) {
    module = new WebAssembly.Module(Uint8Array.from(atob(source), (c) => c.charCodeAt(0)));
    compiled.set(source, module);
  }
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels;
}
