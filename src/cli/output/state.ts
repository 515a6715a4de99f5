import type { RunInspection } from '../../workflows/index.ts';

/** What became of a run. */
export const stateText = ({ run, writer }: Pick<RunInspection, 'run' | 'writer'>): string =>
  run.status !== 'running'
    ? run.status
    : writer === undefined
      ? 'stopped without saying so (the process died)'
      : `running as process ${writer}`;
