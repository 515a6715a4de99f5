/** OpenBLAS's sgemm as a contender, called in this process through koffi: pre [B,F] = x [B,D] W^T, W [F,D]. */
import type { Contender, Skipped } from './contender.ts';
import { fill } from './gemm-ort.ts';

const LIBRARIES = [
  'libopenblas.so.0',
  'libopenblas.so',
  'libopenblas.dylib',
  '/opt/homebrew/opt/openblas/lib/libopenblas.dylib',
  'libopenblas.dll',
];
const ROW_MAJOR = 101;
const NO_TRANS = 111;
const TRANS = 112;

type Library = { func(prototype: string): (...args: unknown[]) => unknown };

/** Looks for SAEKIT_OPENBLAS, then for the system's library (Debian: libopenblas0-pthread). */
export async function openBlasProduct(
  B: number,
  D: number,
  F: number,
  threads: number,
): Promise<Contender | Skipped> {
  const name = 'openblas';
  let koffi: { load(path: string): Library };
  try {
    koffi = (await import('koffi')).default;
  } catch {
    return { name, skipped: 'koffi is not installed' };
  }
  const given = process.env.SAEKIT_OPENBLAS;
  for (const path of given ? [given] : LIBRARIES) {
    let library: Library;
    try {
      library = koffi.load(path);
    } catch {
      continue;
    }
    const sgemm = library.func(
      'void cblas_sgemm(int, int, int, int, int, int, float, void *, int, void *, int, float, void *, int)',
    );
    library.func('void openblas_set_num_threads(int)')(threads);
    const core = library.func('const char *openblas_get_corename()')();
    const config = library.func('const char *openblas_get_config()')();
    const [x, W, pre] = [fill(B * D, 1), fill(F * D, 2), new Float32Array(B * F)];
    return {
      name,
      about: { library: path, core, config, threads },
      async turn() {
        const start = performance.now();
        sgemm(ROW_MAJOR, NO_TRANS, TRANS, B, F, D, 1, x, D, W, D, 0, pre, F);
        return performance.now() - start;
      },
      close: async () => {},
    };
  }
  return {
    name,
    skipped: `no OpenBLAS library (tried ${given ?? LIBRARIES.join(', ')}); Debian: apt install libopenblas0-pthread, or set SAEKIT_OPENBLAS`,
  };
}
