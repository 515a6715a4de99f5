/** Everything that HTTP and MCP offer alike. */
import { featureOperations } from './features.ts';
import { listOperations } from './lists.ts';
import type { Operation } from './operation.ts';
import { steerOperations } from './steer.ts';
import { textOperations } from './text.ts';

export const operations: readonly Operation[] = [
  ...featureOperations,
  ...textOperations,
  ...steerOperations,
  ...listOperations,
];
