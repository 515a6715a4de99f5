/**
 * An ONNX file without its weights: the same model, each large tensor replaced by its place in the file.
 *
 *     TensorProto { …, raw_data: 300 MB }  ->  TensorProto { …, data_location: EXTERNAL, external_data: { offset, length } }
 *
 * An ONNX file is one protobuf message with the weights inside. Reading it whole to look at its graph would take twice its size; so its
 * fields are walked by range, large `raw_data` are stepped over, and everything else is copied. The engine later reads the weights from the
 * user's file, as it does with safetensors. An external tensor without a location means: in the file itself.
 */
import onnxProto from 'onnx-proto';
import type { ByteSource } from '../platform/types.ts';

const { onnx } = onnxProto;

/** Tensors from this size on stay in the file. */
const LARGE_BYTES = 1024;

/** The rest of a model; a graph of 100,000 nodes has about 20 MB. */
const MAX_SKELETON_BYTES = 256 * 1024 * 1024;

/** Messages inside messages: model, graph, node, attribute, graph of a branch, … */
const MAX_DEPTH = 40;

const WINDOW_BYTES = 256 * 1024;

/** Fields that are walked, by message: field number -> message. Tensors also have `raw_data`, field 9. */
const CHILDREN: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  model: { 7: 'graph' },
  graph: { 1: 'node', 5: 'tensor' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph' },
  tensor: {},
};
const RAW_DATA = 9;

type Pieces = { readonly chunks: Uint8Array[]; size: number };

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** Bytes of a source through a window, so that reading it from end to end takes few calls. */
function createWindow(source: ByteSource) {
  let at = 0;
  let bytes: Uint8Array = new Uint8Array(0);
  return {
    /** Whether [position, position + length) is in the window. */
    has: (position: number, length: number) => position >= at && position + length <= at + bytes.length,
    async load(position: number): Promise<void> {
      at = position;
      bytes = await source.slice(position, Math.min(source.byteLength, position + WINDOW_BYTES));
    },
    byte: (position: number): number => bytes[position - at]!,
    copy: (start: number, end: number): Uint8Array => bytes.slice(start - at, end - at),
  };
}

/**
 * Reads the model of an ONNX file, its large tensors left where they are.
 *
 * @param name for messages
 * @throws when it is no ONNX file, is cut off, or is nested or large beyond what a model can be
 */
export async function readSkeleton(source: ByteSource, name: string): Promise<Uint8Array> {
  const window = createWindow(source);
  let total = 0;
  const fail = (what: string): Error =>
    new Error(`${name} is not a valid ONNX file: ${what}. Is the download complete?`);

  /** A varint at a position: its value and the position after it. */
  async function readVarint(position: number, end: number): Promise<[number, number]> {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const here = position + i;
      if (here >= end) throw fail(`it ends inside a number at byte ${here}`);
      if (!window.has(here, 1)) await window.load(here);
      const byte = window.byte(here);
      value += (byte & 127) * 2 ** (7 * i);
      if (byte < 128) return [value, here + 1];
    }
    throw fail(`the number at byte ${position} has no end`);
  }

  async function copy(into: Pieces, start: number, end: number): Promise<void> {
    total += end - start;
    if (total > MAX_SKELETON_BYTES)
      throw fail(
        `without its large tensors it still has more than ${MAX_SKELETON_BYTES / 2 ** 20} MiB, more than any graph needs`,
      );
    for (let at = start; at < end; at += WINDOW_BYTES) {
      const stop = Math.min(end, at + WINDOW_BYTES);
      if (!window.has(at, stop - at)) await window.load(at);
      into.chunks.push(window.copy(at, stop));
    }
    into.size += end - start;
  }

  async function walk(message: string, start: number, end: number, depth: number): Promise<Pieces> {
    if (depth > MAX_DEPTH) throw fail(`messages are nested more than ${MAX_DEPTH} deep at byte ${start}`);
    const out: Pieces = { chunks: [], size: 0 };
    let at = start;
    while (at < end) {
      const [tag, afterTag] = await readVarint(at, end);
      const wire = tag & 7;
      const field = Math.floor(tag / 8);
      let next = afterTag;
      if (wire === 0) next = (await readVarint(afterTag, end))[1];
      else if (wire === 1) next += 8;
      else if (wire === 5) next += 4;
      else if (wire === 2) {
        const [length, body] = await readVarint(afterTag, end);
        next = body + length;
        if (next > end) throw fail(`field ${field} of a ${message} at byte ${at} runs past its end`);
        const child = CHILDREN[message]?.[field];
        if (length >= LARGE_BYTES && message === 'tensor' && field === RAW_DATA) {
          const { EXTERNAL } = onnx.TensorProto.DataLocation;
          const place = onnx.TensorProto.encode({
            dataLocation: EXTERNAL,
            externalData: [
              { key: 'location', value: '' },
              { key: 'offset', value: String(body) },
              { key: 'length', value: String(length) },
            ],
          }).finish();
          out.chunks.push(place);
          out.size += place.length;
          at = next;
          continue;
        }
        if (child && length >= LARGE_BYTES) {
          const inner = await walk(child, body, next, depth + 1);
          const head = [await headBytes(at, afterTag), varint(inner.size)];
          for (const chunk of [...head, ...inner.chunks]) out.chunks.push(chunk);
          out.size += head[0]!.length + head[1]!.length + inner.size;
          at = next;
          continue;
        }
      } else throw fail(`byte ${at} has wire type ${wire}, which protobuf does not have`);
      if (next > end) throw fail(`it ends inside field ${field} of a ${message} at byte ${at}`);
      await copy(out, at, next);
      at = next;
    }
    return out;
  }

  async function headBytes(start: number, end: number): Promise<Uint8Array> {
    if (!window.has(start, end - start)) await window.load(start);
    return window.copy(start, end);
  }

  const { chunks, size } = await walk('model', 0, source.byteLength, 0);
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
