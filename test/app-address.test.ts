// What is on a page of the app is in its address, as far as an address reaches.
import { describe, expect, test } from 'vitest';
import { LONGEST_ADDRESS } from '../src/shared/address.ts';
import { addressOf } from '../web/src/address.ts';
import { asEdits, asText, inMode, OFFERED, valueKind } from '../web/src/steering.ts';

describe('an address', () => {
  const path = (text: string) =>
    `/feature/a%2Fb/7?${new URLSearchParams({ strength: '2', text, prompt: 'Hello' })}`;
  const room = LONGEST_ADDRESS - path('').length;

  test('that is short enough is the path as it is, to the last character', () => {
    for (const text of ['', 'a b&c=d?e#f', 'x'.repeat(room), '世'.repeat(Math.floor(room / 9))])
      expect(addressOf(path(text))).toBe(path(text));
  });

  test('that would be too long is without its longest parameter, and no more than that', () => {
    const rest = '/feature/a%2Fb/7?strength=2&prompt=Hello';
    for (const text of ['x'.repeat(room + 1), '世'.repeat(Math.ceil(room / 9))])
      expect(addressOf(path(text))).toBe(rest);
    const long = 'x'.repeat(LONGEST_ADDRESS);
    expect(addressOf(`/?text=${long}`)).toBe('/');
    expect(addressOf(`/?a=${long}&b=${long}y&c=1`)).toBe('/?c=1');
  });
});

describe('an edit in another mode', () => {
  test('keeps a value that means the same, else has the one that it had, else a usual one', () => {
    const [edit] = asEdits('some%2Frun:7:clamp:12');
    for (const mode of OFFERED) {
      const { value } = inMode(edit!, mode, 5);
      expect([mode, value]).toEqual([mode, { activation: 12, factor: 5, none: undefined }[valueKind(mode)!]]);
    }
    const zero = inMode(edit!, 'zero', 5);
    expect(asText([zero])).toBe('some%2Frun:7:zero');
    expect(inMode(zero, 'clamp', -3.5)).toEqual({ ...edit, value: -3.5 });
    expect(inMode(zero, 'at-least', 0)).toEqual({ ...edit, mode: 'at-least', value: 0 });
    expect([inMode(zero, 'clamp').value, inMode(zero, 'scale').value]).toEqual([35, 2]);
  });
});
