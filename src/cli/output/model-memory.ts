/** What a model that writes text will take, said before its weights are loaded. */
import type { Model } from '../../models/types.ts';
import { modelMemoryText, requireWritingMemory } from '../../workflows/index.ts';
import type { Context } from '../context.ts';

/** @throws UsageError when the model does not fit */
export function tellMemory(model: Model, { note, style }: Context): void {
  const memory = requireWritingMemory(model);
  // Where the text goes into a file or a pipe, nothing stands beside it.
  if (memory && style.terminal) note(style.format('dim', modelMemoryText(memory)));
}
