/** Hands a resource over to be closed at the end. */
export type Own = <T extends { close(): Promise<void> }>(resource: T) => T;

/** Closes what was opened, last first, however `body` ends. */
export async function withResources<T>(body: (own: Own) => Promise<T>): Promise<T> {
  const opened: { close(): Promise<void> }[] = [];
  try {
    return await body((resource) => {
      opened.push(resource);
      return resource;
    });
  } finally {
    for (const resource of opened.toReversed()) await resource.close();
  }
}
