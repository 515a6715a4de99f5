import { describe, expect, it } from 'vitest';
import { progressBar, sparkline } from './charts.ts';
import { concordanceRow } from './concordance.ts';
import { bytes, duration, oneIn, percent, short } from './numbers.ts';
import { createStyle } from './style.ts';
import { table } from './table.ts';
import { clip, displayWidth } from './width.ts';

const plain = createStyle({ isTTY: false }, {});
const colourful = createStyle({ isTTY: true, columns: 80 }, { TERM: 'xterm-256color' });

describe('style', () => {
  it('has colour on a terminal only, and not when NO_COLOR is set', () => {
    expect(colourful.format('red', 'x')).toBe('\x1b[31mx\x1b[39m');
    expect(plain.format('red', 'x')).toBe('x');
    expect(createStyle({ isTTY: true }, { NO_COLOR: '1' }).colour).toBe(false);
    expect(createStyle({ isTTY: true }, { TERM: 'dumb' }).colour).toBe(false);
    expect(createStyle({ isTTY: false }, { FORCE_COLOR: '1' }).colour).toBe(true);
  });

  it('tints nothing below four per cent', () => {
    expect(colourful.tint(3, 0.01, 'x')).toBe('x');
    expect(colourful.tint(3, 1, 'x')).toContain('\x1b[48;5;139m');
  });
});

describe('width', () => {
  it('counts columns, not code units', () => {
    expect(displayWidth('日本')).toBe(4);
    expect(displayWidth('e\u0301')).toBe(1);
    expect(displayWidth('привет')).toBe(6);
    expect(displayWidth('\x1b[1mab\x1b[22m')).toBe(2);
  });

  it('clips by columns', () => {
    expect(clip('日本語', 5)).toBe('日本…');
    expect(clip('abc', 3)).toBe('abc');
  });
});

describe('charts', () => {
  it('draws rising values as rising bars', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7])).toBe('▁▂▃▄▅▆▇█');
    expect(sparkline([5, 5, 5])).toBe('▁▁▁');
    expect(sparkline([])).toBe('');
    expect(
      sparkline(
        Array.from({ length: 1000 }, (_, i) => i),
        8,
      ),
    ).toBe('▁▂▃▄▅▆▇█');
  });

  it('fills a bar by its share', () => {
    expect(progressBar(0.5, 4)).toBe('━━──');
  });
});

describe('numbers', () => {
  it('read naturally', () => {
    expect([950, 12_345, 999_600, 4_100_000].map(short)).toEqual(['950', '12.3 k', '1.0 M', '4.1 M']);
    expect([12, 3_400_000].map(bytes)).toEqual(['12 B', '3.4 MB']);
    expect([42, 185, 7800].map(duration)).toEqual(['42 s', '3 min 05 s', '2 h 10 min']);
    expect([0.052, 0.5].map(percent)).toEqual(['5.2 %', '50 %']);
    expect(oneIn(1 / 410)).toBe('1 in 410');
  });
});

describe('table', () => {
  it('aligns by display width', () => {
    const text = table(
      [{ title: 'name' }, { title: 'n', align: 'right' }],
      [
        ['日本', '1'],
        ['ab', '100'],
      ],
      plain,
    );
    expect(text).toBe('name    n\n日本    1\nab    100');
  });
});

describe('concordance', () => {
  const row = (tokens: string[], peak: number, columns = 40) =>
    concordanceRow(
      { tokens, activations: tokens.map((_, i) => (i === peak ? 1 : 0)), peak },
      { style: plain, columns, maximum: 1, hue: 0 },
    );

  it('puts the peak of every row into one column', () => {
    const rows = [
      row(['We', ' met', ' on', ' the', ' 4', 'th'], 4),
      row([' on', ' 12', ' May'], 1),
      row(['第', '三', '日'], 1),
    ];
    expect(rows[0]).toBe('    We met on the «4»th');
    const columns = rows.map((text) => displayWidth(text.slice(0, text.indexOf('«'))));
    expect(new Set(columns).size).toBe(1);
  });

  it('never exceeds its columns and marks what was left out', () => {
    const words = Array.from({ length: 60 }, (_, i) => ` word${i}`);
    const text = row(words, 30, 60);
    expect(displayWidth(text)).toBeLessThanOrEqual(60);
    expect(text.trim().startsWith('…')).toBe(true);
    expect(text.endsWith('…')).toBe(true);
  });

  it('lets no control character through to the terminal', () => {
    expect(row(['a\x1b[2J', '\n', 'b\x07'], 1)).toBe(`${' '.repeat(13)}a·[2J«↵»b·`);
  });
});
