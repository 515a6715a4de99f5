import type { InferenceSession, Tensor } from 'onnxruntime-common';
import type { HubAccess } from '../hub/types.ts';

/** Bytes that can be read by range: a file, an HTTP resource, or memory. Readers never see paths. */
export type ByteSource = {
  readonly byteLength: number;
  /** Bytes [start, end). Throws when the range leaves the source. */
  slice(start: number, end: number): Promise<Uint8Array>;
  /** Bytes from `start` on, as many as `into` has room for, without a buffer in between; where the source can. */
  readInto?(start: number, into: Uint8Array): Promise<void>;
  /**
   * Where the bytes lie on disk, symlinks resolved, when they do: lets the engine map the file itself instead of
   * being handed a copy. Absent in the browser.
   */
  readonly realPath?: string;
  /** Of a file that is read by range from far away: the whole of it, brought here once. For reads that would be many and short. */
  local?(): Promise<ByteSource>;
  /** Gives the file handle back. Sources in memory have nothing to give back. */
  close?(): Promise<void>;
};

/** Of a folder that came from the Hugging Face hub: which commit it is, and the hash of each file (sha256, or git blob id of small ones). */
export type HubOrigin = { readonly commit: string; readonly files: Readonly<Record<string, string>> };

/** A flat folder of named files: a model on disk, an unpacked upload, a URL prefix. */
export type ByteFolder = {
  /** What to call it in messages. */
  readonly name: string;
  readonly origin?: HubOrigin;
  /** Of a folder on disk: where it lies, from the root, with / on every system. A name such as `.` says nothing. */
  readonly place?: string;
  /** When one file was named, not the folder: the model is that file, and the folder has what belongs to it. */
  readonly file?: string;
  /** Of an SAE named in a registry: settings that take the place of those in its files. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  has(file: string): Promise<boolean>;
  /** Throws when the file is missing; the message names the folder and the file. */
  open(file: string): Promise<ByteSource>;
};

/** How a model in one file becomes a folder, for a cache. */
export type Conversion = {
  /** Raised when the same file would give another folder. */
  readonly version: number;
  convert(
    source: ByteSource,
    name: string,
    sha256: string,
  ): Promise<{
    readonly files: ReadonlyMap<string, Uint8Array>;
    /** The one file too large for memory. */
    readonly large: {
      readonly file: string;
      readonly byteLength: number;
      chunks(signal?: AbortSignal): AsyncIterable<Uint8Array>;
    };
    /** What the file is, in some words. */
    readonly note: string;
  }>;
};

/** The part of the ONNX Runtime package that the core uses; the Node, web and WebGPU builds all have it. */
export type Ort = {
  readonly InferenceSession: typeof InferenceSession;
  readonly Tensor: typeof Tensor;
  /** Execution providers that this build knows; in Node only. */
  readonly listSupportedBackends?: () => readonly { readonly name: string; readonly bundled: boolean }[];
};

/** The owner's end of a worker thread. */
export type WorkerHandle = {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  /** Sets the receiver; messages that came before are delivered to it first. */
  onMessage(receive: (message: unknown) => void): void;
  /** Called once when the worker dies of an uncaught error; without a receiver the error surfaces in `close`. */
  onError(receive: (error: Error) => void): void;
  /** Whether the process waits for this worker when nothing else is left to do. At first it does. Nothing in a browser. */
  keepAlive(on: boolean): void;
  /**
   * Asks the worker to stop after the message it is working on and waits until it has. There is no way to stop one in
   * the middle: ending a thread inside a session run aborts the whole process.
   */
  close(): Promise<void>;
};

/** The worker's own end. Messages are handled one at a time, in order; a promise is awaited before the next. */
export type WorkerPort = {
  readonly data: unknown;
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  onMessage(receive: (message: unknown) => void | Promise<void>): void;
};

/** Everything that differs between Node and the browser. */
export type Platform = {
  readonly kind: 'node' | 'browser';
  readonly ort: Ort;
  /** Threads that can run at once. */
  readonly threads: number;
  /** Threads of an engine session that gets many rows at once, and of one that writes text row by row. */
  readonly sessionThreads: { readonly many: number; readonly few: number };
  /** Bytes that can still be had; where it is known. */
  readonly availableMemory?: () => number;
  /**
   * Starts a worker. `name` is a module under src/ without extension, such as `train/worker`, that exports
   * `startWorker(port: WorkerPort)`; the platform is set before it is loaded. `data` is cloned; SharedArrayBuffers in it
   * are shared.
   */
  spawnWorker(name: string, data: unknown): WorkerHandle;
  /**
   * Opens a folder by path or, downloaded when needed, by the hub's `org/name[@revision]` (Node), or by URL prefix (browser). What is
   * downloaded is what a model, or an SAE, is made of; `sae by range`: its weights only as far as they are read.
   */
  openFolder(
    location: string,
    access?: HubAccess,
    kind?: 'model' | 'sae' | 'sae by range',
  ): Promise<ByteFolder>;
  /**
   * The folder that a GGUF file becomes, kept in the user's cache from the first time on: by path, by `ollama:NAME[:TAG]`, or by name in
   * llama.cpp's cache. Undefined for a location that means no GGUF file. Node only.
   */
  openConverted?(
    location: string,
    conversion: Conversion,
    access?: HubAccess,
  ): Promise<ByteFolder | undefined>;
  /** Milliseconds from a fixed point, for durations. */
  now(): number;
};
