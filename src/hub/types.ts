/** A repository of the hub at a revision: a branch, a tag, or a commit. */
export type HubId = {
  readonly type: 'model' | 'dataset';
  /** `org/name` */
  readonly name: string;
  readonly revision: string;
};

/** How far a download is, in bytes of everything that was not in the cache. */
export type HubProgress = { readonly name: string; readonly done: number; readonly total: number };

/** What a caller may hear of, and stop. */
export type HubAccess = {
  readonly signal?: AbortSignal;
  readonly onDownload?: (progress: HubProgress) => void;
  /** Remarks in one line: that the hub was not reached and the cache is used. */
  readonly onNote?: (text: string) => void;
};

/** A file as the hub lists it. `hash` is its sha256 (64 digits, large files) or its git blob id (40 digits); blobs of the cache are named so. */
export type HubFile = { readonly path: string; readonly size: number; readonly hash: string };

/** Files of one commit that lie in the cache. */
export type Snapshot = {
  /** As it was found: with the path in it, when only a part of the repository was asked for. */
  readonly id: HubId & { readonly path?: string };
  readonly commit: string;
  /** Folder with the files under their own names. */
  readonly path: string;
  readonly files: readonly HubFile[];
};
