// Lets texts that name the bundled SAEs and their latents name those that are in demo/saes now: README, docs, examples, help texts.
//   node scripts/demo/refer.mjs [dna=N] [cyrillic=N] [greek=N] [ingredient=N]
// What they name so far is in named.json. A latent that is not given is the one whose card tells its label best; of Greek, which an example steers
// with, a look at `npm run bench -- --visible` is better. Figures and outputs are not touched: README.md beside this file says how to make them anew.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib.mjs';

const LABELS = {
  dna: /^dna/,
  cyrillic: /^script\/cyrillic/,
  greek: /^language\/greek/,
  ingredient: /^recipe\/ingredient/,
};
const place = join(import.meta.dirname, 'named.json');
const read = (path) => readFileSync(path, 'utf8');
const old = JSON.parse(read(place));
const given = Object.fromEntries(process.argv.slice(2).map((pair) => pair.split('=')));

const [early, late] = readdirSync(join(root, 'demo', 'saes')).sort();
const named = { late, early };
const { cards } = JSON.parse(read(join(root, 'demo', 'saes', late, 'features', 'cards.json')));
for (const [name, label] of Object.entries(LABELS)) {
  const f1 = ({ best }) => (best && label.test(best.label) ? best.f1 : 0);
  const [best] = cards.toSorted((a, b) => f1(b) - f1(a));
  if (given[name] === undefined && f1(best) === 0) {
    console.log(`${name}: no card tells it; ${old[name]} stays. Give ${name}=N.`);
    named[name] = old[name];
    continue;
  }
  named[name] = Number(given[name] ?? best.latent);
  console.log(`${name}: #${old[name]} -> #${named[name]}${given[name] ? '' : `, F1 ${f1(best).toFixed(2)}`}`);
}

const files = [
  'README.md',
  ...['docs', 'examples', 'src', 'bench', 'web/src'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => /\.(md|ts|tsx)$/.test(name) && !/\.test\.ts$|^results|^visible\.md$/.test(name))
      .map((name) => join(folder, name)),
  ),
];
const literal = (text) => text.replaceAll('.', '\\.');
/** Old -> new, at once: what was put in is not looked at again. */
const among = (names, before) => {
  const changes = new Map(names.map((name) => [String(old[name]), String(named[name])]));
  const pattern = new RegExp(`${before}(${[...changes.keys()].map(literal).join('|')})(?![\\w-])`, 'g');
  return (text) => text.replace(pattern, (found) => changes.get(found));
};
const hooks = among(['late', 'early'], '(?<![\\w.])');
// A number is a latent where it is called one.
const latents = among(
  Object.keys(LABELS),
  `(?<=#|latent:? |"latent": |number = '|editLatent\\(code, |sae, \\[)`,
);
for (const file of files) {
  const text = read(join(root, file));
  // Elsewhere a hook is one of another model.
  const changed = latents(/demo\/(model|saes)/.test(text) ? hooks(text) : text);
  if (changed === text) continue;
  writeFileSync(join(root, file), changed);
  console.log(file);
}
writeFileSync(place, `${JSON.stringify(named, null, 2)}\n`);
