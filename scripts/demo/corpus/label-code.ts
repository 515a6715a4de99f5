/**
 * Labels of source text by small table-driven lexers, run over whole files, so that a document from the middle of a file is labelled
 * right even if it starts inside a comment.
 *
 * typescript, python: `comment`, `string`, `keyword` (value: the word), python also `docstring` · css: `comment`, `selector`,
 * `property`, `value` · html: `comment`, `tag`, `attribute`, `attribute-value`, `template`, `content`.
 * Approximations: a template literal is one string with its interpolations; a regular expression is recognised by the character
 * before it; no language is parsed.
 */
import type { Span } from '../../../src/demo/labelled-text.ts';

/** Tried in order at every position; the first that matches is taken. Named groups become spans, `skip` is passed over. */
type Rule = RegExp;

const words = (list: string) => `(?<keyword>\\b(?:${list.replaceAll(' ', '|')})\\b)`;
const typescriptWords =
  'abstract as async await break case catch class const continue declare default delete do else enum export extends false finally for from function if implements import in infer instanceof interface is keyof let namespace new null of private protected public readonly return satisfies static super switch this throw true try type typeof undefined unique unknown void while yield never any string number boolean';
const pythonWords =
  'False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield';

const rules: Readonly<Record<string, readonly Rule[]>> = {
  typescript: [
    /(?<comment>\/\/[^\n]*|\/\*[\s\S]*?\*\/)/y,
    /(?<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`)/y,
    /(?<=[=(,:[!&|?{};\n]\s*)(?<skip>\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])*\/\w*)/y,
    new RegExp(words(typescriptWords), 'y'),
    /(?<skip>[\w$]+|\s+)/y,
  ],
  python: [
    /(?<comment>#[^\n]*)/y,
    /(?<=^[ \t]*)(?<docstring>[rRuU]?(?:"""(?:\\[\s\S]|[^\\])*?"""|'''(?:\\[\s\S]|[^\\])*?'''))/my,
    /(?<string>[rRbBfFuU]{0,2}(?:"""(?:\\[\s\S]|[^\\])*?"""|'''(?:\\[\s\S]|[^\\])*?'''|'(?:\\[\s\S]|[^'\\\n])*'|"(?:\\[\s\S]|[^"\\\n])*"))/y,
    new RegExp(words(pythonWords), 'y'),
    /(?<skip>\w+|\s+)/y,
  ],
  css: [
    /(?<comment>\/\*[\s\S]*?\*\/)/y,
    /(?<skip>[\s{};]+)/y,
    /(?<selector>[^{};/\s][^{};]*?)\s*(?=\{)/y,
    /(?<property>--[\w-]+|[\w-]+)\s*:\s*(?<value>[^;{}]+?)\s*(?=[;}])/dy,
  ],
  html: [
    /(?<comment><!--[\s\S]*?-->)/y,
    /(?<template>\{%[^%]*(?:%(?!\})[^%]*)*%\}|\{\{[^}]*\}\}|\{#[^#]*#\})/y,
    /(?<tag><\/?[A-Za-z][\w-]*|\/?>)/y,
    /(?<=<[^<>]*\s)(?<attribute>[\w:@.-]+)=(?<quoted>"[^"]*"|'[^']*')/dy,
    /(?<=>[^<]*|^[^<]*)(?<content>[^\s<>{}](?:[^<>{}]*[^\s<>{}])?)/y,
    /(?<skip>[\w-]+|\s+)/y,
  ],
};

/** The labels of a whole file; offsets are those of `text`. */
export function labelCode(language: string, text: string): Span[] {
  const spans: Span[] = [];
  const table = rules[language] ?? [];
  for (let at = 0; at < text.length; ) {
    let end = at + 1;
    for (const rule of table) {
      rule.lastIndex = at;
      const match = rule.exec(text);
      if (match === null || match[0] === '') continue;
      end = at + match[0].length;
      for (const [label, value] of Object.entries(match.groups ?? {})) {
        if (value === undefined || label === 'skip') continue;
        // One group per rule starts the match; rules with two groups ask for indices.
        const start = match.indices?.groups?.[label]?.[0] ?? at + match[0].indexOf(value);
        if (label === 'quoted')
          spans.push({ start: start + 1, end: start + value.length - 1, label: 'attribute-value' });
        else
          spans.push({ start, end: start + value.length, label, ...(label === 'keyword' ? { value } : {}) });
      }
      break;
    }
    at = end;
  }
  return spans.filter((span) => span.end > span.start);
}

/** The spans that touch [from, to), cut to it, with offsets looked up in `position` (old offset − from → new offset). */
export function cutSpans(
  spans: readonly Span[],
  from: number,
  to: number,
  position: readonly number[],
): Span[] {
  return spans
    .filter((span) => span.start < to && span.end > from)
    .map((span) => ({
      ...span,
      start: position[Math.max(span.start, from) - from] as number,
      end: position[Math.min(span.end, to) - from] as number,
    }))
    .filter((span) => span.end > span.start);
}
