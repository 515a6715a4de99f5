/** Turns progress of a training run into a live block on a terminal, or into a line every few seconds elsewhere. */
import type { Snippet, TrainProgress } from '../../workflows/types.ts';
import type { Context } from '../context.ts';
import { createLive } from './live.ts';
import { trainingLine, trainingLines } from './training-view.ts';

/** A terminal is redrawn this often at most. */
const DRAW_MS = 150;
/** A log gets a line this often. */
const LINE_MS = 5000;

export function createTrainingReport({ style, write, note, signal }: Context): {
  progress(progress: TrainProgress): void;
  snippets(snippets: readonly Snippet[]): void;
  /** Call when training is over, however it ended. */
  end(): void;
} {
  const live = createLive(write, style, signal);
  const fvu: number[] = [];
  let snippets: readonly Snippet[] = [];
  let last: TrainProgress | undefined;
  let printedAt = 0;
  let printedStep = 0;

  const draw = (progress: TrainProgress): void =>
    live.draw(trainingLines({ progress, fvu, snippets }, style));
  return {
    progress(progress) {
      last = progress;
      fvu.push(progress.fvu);
      const now = performance.now();
      const due = now - printedAt >= (style.terminal ? DRAW_MS : LINE_MS);
      if (!due && progress.step < progress.totalSteps) return;
      printedAt = now;
      printedStep = progress.step;
      if (style.terminal) draw(progress);
      else note(trainingLine(progress));
    },
    snippets(next) {
      snippets = next;
      if (last) draw(last);
    },
    end() {
      if (last === undefined) return;
      if (style.terminal) {
        draw(last);
        write('\n');
      } else if (printedStep !== last.step) note(trainingLine(last));
      live.keep();
      last = undefined;
    },
  };
}
