/**
 * Checkers of source code. They count signs and do not parse: a text is taken for a language if enough of its lines carry that
 * language's marks, few carry another's, and (TypeScript) brackets outside strings and comments never close wrongly.
 */
import type { Checker } from './formats.ts';

const leastLength = 60;

function shareOf(lines: readonly string[], mark: RegExp): number {
  return lines.filter((line) => mark.test(line)).length / Math.max(1, lines.length);
}

/** Lines that count: not empty; the last one, which may be cut, is left out if there are others. */
function linesOf(text: string): string[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.length > 3 ? lines.slice(0, -1) : lines;
}

const knownTag =
  /<\/?(?:a|article|aside|body|br|button|code|div|em|footer|form|h[1-6]|head|header|i|img|input|label|li|link|main|meta|nav|ol|option|p|path|script|section|select|span|strong|svg|table|tbody|td|th|thead|title|tr|ul)\b|\{%|\{\{/;

/** Enough tags or template marks for the length, one of them well known, and few lines of another language. */
export const checkHtml: Checker = (text) => {
  if (text.length < leastLength) return false;
  const tags = text.match(/<\/?[a-z][\w-]*(?:\s[^<>]*)?\/?>|<!--|\{%[^%]*%\}|\{\{[^}]*\}\}/g)?.length ?? 0;
  const code = shareOf(linesOf(text), /^\s*(?:\/?\*|\/\/|#|from |import |def |const |export )|[{;]\s*$|=> /);
  const words = text.match(/[A-Za-z]{3,}/g)?.length ?? 0;
  return tags * 160 >= text.length && words * 40 >= text.length && knownTag.test(text) && code < 0.25;
};

const declaration = /^\s*(?:--)?[a-z][\w-]*\s*:\s*[^{};]+;?\s*(?:\}\s*)?$/;
const selector = /^\s*(?:[^{};:]*[.#&:[*>]?[\w\-.#:()[\]"'=~^*>+,&\s]+)(?:\{|,)\s*$/;

/** Lines are declarations ended by semicolons, selectors, at-rules, closing braces or comments. */
export const checkCss: Checker = (text) => {
  const lines = linesOf(text);
  if (text.length < leastLength || lines.length < 3) return false;
  const declarations = lines.filter((line) => declaration.test(line) && line.trimEnd().endsWith(';')).length;
  const others = lines.filter((line) => selector.test(line) || /^\s*(?:\}|@|\/?\*|.*\*\/)/.test(line)).length;
  const script = shareOf(lines, /=>|\b(?:const|function|return|readonly|def|import)\b|\(\s*$/);
  return declarations >= 2 && declarations + others >= 0.8 * lines.length && script < 0.1;
};

const pythonLine =
  /^\s*(?:def |class |async def |import |from \S+ import|return\b|if .*:$|elif .*:$|else:$|for .* in .*:$|while .*:$|try:$|except.*:$|with .*:$|raise |assert |yield |@\w|#|"""|>>> |\w[\w.]* [-+*/]?= |self\.|\w+=.*,$|[\w.]+\(.*\)?$)/;
const typescriptLine =
  /^\s*(?:export |import |const |let |var |function |interface |type |return\b|if \(|\} else|for \(|while \(|\/?\*|\/\/|[\])}]+[;,)]*$|(?:readonly |private |public |static |async )|\}|.*=>|\w+\??: .*[,;{]?$|\.\w+|.*[;{([,]$)/;

/** Python: its statements, block colons and comments; next to no lines that end like C. */
export const checkPython: Checker = (text) => {
  const lines = linesOf(text);
  if (text.length < leastLength || lines.length < 3) return false;
  const marks = text.match(
    /\b(?:def|self|None|True|False|elif|import|return|not in|is not|raise|lambda)\b|"""|>>> |\):$|__\w+__/gm,
  );
  const foreign = shareOf(lines, /[;{]\s*$|^\s*(?:\/?\*\s|\/\/|const |export |<\/?\w)|=> /);
  return (marks?.length ?? 0) >= 2 && foreign < 0.1 && shareOf(lines, pythonLine) >= 0.25;
};

/** Whether brackets never close wrongly, outside comments and strings; a text may start inside a block, so surplus closers are allowed. */
function bracketsFit(text: string): boolean {
  const bare = text.replace(
    /\/\*[\s\S]*?(?:\*\/|$)|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*(?:`|$)/g,
    '',
  );
  const closing: Readonly<Record<string, string>> = { ')': '(', ']': '[', '}': '{' };
  const stack: string[] = [];
  for (const letter of bare) {
    if ('([{'.includes(letter)) stack.push(letter);
    else if (letter in closing) {
      const opened = stack.pop();
      if (opened !== undefined && opened !== closing[letter]) return false;
    }
  }
  return true;
}

/** TypeScript: most lines look like its statements, members or comments; enough of its words; brackets that fit. */
export const checkTypescript: Checker = (text) => {
  const lines = linesOf(text);
  if (text.length < leastLength || lines.length < 3) return false;
  const isComment = shareOf(lines, /^\s*(?:\/\*\*|\*)/) >= 0.6;
  const marks =
    text.match(
      /\b(?:const|export|import|function|interface|readonly|return|new|undefined|extends|typeof|this)\b|=>|\.\w+\(|\/\*\*|^\s*\* |@\w+ |<[A-Z]\w*[,>]|\): /gm,
    )?.length ?? 0;
  const foreign = shareOf(lines, /^\s*(?:def |class .*:$|elif |@\w+$|<\/?\w+[ >]|\{%)|:\s*$|"""/);
  return (
    marks >= 4 && shareOf(lines, typescriptLine) >= 0.7 && foreign < 0.15 && (isComment || bracketsFit(text))
  );
};
