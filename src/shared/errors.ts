/** What a command tells its caller by exit status. Every message says what was found, what was expected, what to do. */

/** The call itself is wrong: a flag, a config field, a missing argument. Exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Stopped on request, with what was done so far saved. Exit status 130, as a shell expects after Ctrl-C. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}
