import { describe, expect, it } from 'vitest';
import type { Snippet, TrainProgress } from '../../workflows/types.ts';
import { createLive } from './live.ts';
import { createStyle } from './style.ts';
import { stageLine, trainingLine, trainingLines } from './training-view.ts';
import { displayWidth } from './width.ts';

const progress: TrainProgress = {
  step: 302,
  totalSteps: 488,
  tokens: 1_236_992,
  loss: 0.2,
  fvu: 0.1824,
  l0: 32,
  dead: 214,
  latents: 4096,
  lr: 4e-4,
  tokensPerSecond: 18_412,
  secondsLeft: 41,
  epochs: 0,
  stages: { data: 300, model: 4100, sae: 5600 },
  overlap: false,
};
const snippet: Snippet = {
  latent: 1234,
  density: 1 / 410,
  maximum: 9.1,
  tokens: [
    'We',
    ' met',
    ' on',
    ' the',
    ' 4',
    'th',
    ' of',
    ' March',
    ' 1841',
    ', and',
    ' by',
    ' then',
    ' it',
    ' was',
    ' late',
  ],
  activations: [0, 0, 0, 0, 9.1, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0],
  peak: 4,
};

describe('training view', () => {
  for (const columns of [40, 80, 120, 200]) {
    it(`fits ${columns} columns`, () => {
      const style = createStyle({ isTTY: true, columns }, { TERM: 'xterm-256color' });
      let screen = '';
      createLive((text) => {
        screen += text;
      }, style).draw(trainingLines({ progress, fvu: [1, 0.5, 0.2], snippets: [snippet] }, style));
      for (const line of screen.split('\n')) expect(displayWidth(line)).toBeLessThan(columns);
    });
  }

  it('has one plain line for a log, without control characters', () => {
    expect(trainingLine(progress)).toBe(
      'step 302/488  tokens 1.2 M  18,412 tokens/s  FVU 0.1824  L0 32.0  dead 214  41 s left',
    );
    expect(stageLine(progress)).toBe('data 3 %, model 41 %, SAE 56 %, in turns');
  });

  it('draws over its own lines on a terminal and writes nothing elsewhere', () => {
    const written: string[] = [];
    const live = createLive((text) => written.push(text), createStyle({ isTTY: true, columns: 80 }, {}));
    live.draw(['a', 'b']);
    live.draw(['c']);
    expect(written).toEqual(['a\nb\n', '\x1b[2A\r\x1b[Jc\n']);
    const controller = new AbortController();
    const stopping: string[] = [];
    createLive(
      (text) => stopping.push(text),
      createStyle({ isTTY: true, columns: 80 }, {}),
      controller.signal,
    ).draw(['a']);
    controller.abort();
    expect(stopping[1]?.startsWith('\x1b[1A\r\x1b[Ja\n')).toBe(true);
    expect(stopping[1]).toContain('Stopping after this step');
    const silent: string[] = [];
    createLive((text) => silent.push(text), createStyle({}, {})).draw(['a']);
    expect(silent).toEqual([]);
  });
});
