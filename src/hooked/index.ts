export {
  type EncodedText,
  type EncodeProgress,
  type EncodeTextsOptions,
  encodeTexts,
} from './encode-texts.ts';
export {
  type CodeEdit,
  type PlacedSae,
  runWithSaes,
  type SaeRun,
  type SaesOptions,
  type SaesResult,
} from './run-with-saes.ts';
