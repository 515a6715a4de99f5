import type { RunInspection } from '../../workflows/index.ts';

/** What became of a run. */
export const stateText = ({
  run,
  writer,
  writerHost,
}: Pick<RunInspection, 'run' | 'writer' | 'writerHost'>): string =>
  run.status !== 'running'
    ? run.status
    : writer === undefined
      ? 'stopped without saying so (the process died)'
      : `running as process ${writer}${writerHost ? ` on ${writerHost}, as far as can be seen from here` : ''}`;
