export { activePerRow, checkSae, describeSae, outputWidth } from './check.ts';
export { type DecodeOptions, decode, dense } from './decode.ts';
export { editLatent, latentColumn } from './edit.ts';
export {
  canScreen,
  createEncoder,
  type EncodeOptions,
  type Encoder,
  encode,
  type Screening,
} from './encode.ts';
export { type FormatName, formats, writtenFormats } from './formats/registry.ts';
export { type LatentRows, loadSae, type OpenedSae, openSae, readLatent, readSaeConfig } from './load.ts';
export { decoderNeighbours, rowsInFile, rowsInMemory } from './neighbours.ts';
export { saveSae } from './save.ts';
export type { Screened } from './screen/screen.ts';
export {
  type RecordedNumbers,
  refuseWrong,
  type SelfTest,
  type SelfTestOptions,
  selfTest,
  selfTestText,
  untested,
} from './self-test.ts';
export type { InputNorm, Sae, SaeConfig, SparseCode } from './types.ts';
export { type Architecture, variantOf, variants } from './variants/registry.ts';
