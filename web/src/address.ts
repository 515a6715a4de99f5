/** What is on a page is in its address, as far as the server reads it. */
import { LONGEST_ADDRESS } from '../../src/shared/address.ts';

/** The address of a path and query of the site; one too long is without its longest parameters. */
export function addressOf(path: string): string {
  if (path.length <= LONGEST_ADDRESS) return path;
  const { pathname, searchParams } = new URL(path, 'http://localhost');
  const short = () => pathname + (searchParams.size > 0 ? `?${searchParams}` : '');
  const longestFirst = [...searchParams].sort(([, a], [, b]) => b.length - a.length);
  for (const [name] of longestFirst) if (short().length > LONGEST_ADDRESS) searchParams.delete(name);
  return short();
}
