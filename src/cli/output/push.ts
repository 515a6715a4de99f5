/** What `saekit push` would send, for a person and for a machine. */
import type { PushPlan, PushRunOptions } from '../../workflows/index.ts';
import { bytes } from './numbers.ts';
import type { Style } from './style.ts';
import { table } from './table.ts';

type Shown = Pick<PushRunOptions, 'private'>;
/** With the command that was given, to be given again. */
type Given = Shown & { readonly style: Style; readonly again: string };

export const planJson = ({ id, url, message, card, files, leftOut }: PushPlan, options: Shown) => ({
  uploaded: false,
  repo: id.name,
  revision: id.revision,
  url,
  private: options.private === true,
  message,
  files: files.map(({ path, bytes: size }) => ({ path, bytes: size })),
  leftOut,
  card,
});

export function pushPlanText(plan: PushPlan, { style, again, ...options }: Given): string {
  const { id, url, files, card, leftOut, message, hasToken } = plan;
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  const rows = [
    ...files.map((file): [string, string] => [`  ${file.path}`, bytes(file.bytes)]),
    ['  in all', bytes(total)],
  ];
  const bold = (text: string): string => style.format('bold', text);
  const quotes = files.some(({ path }) => path === 'features/cards.json')
    ? '\nfeatures/cards.json and the card quote passages of the held-out text; --no-features leaves them out.'
    : '';
  return `${bold('README.md')}

${style.colour ? style.format('dim', card) : card}
${bold('Would be sent')} as one commit, "${message}",
to the branch ${id.revision} of ${url}
(${options.private ? 'private' : 'public, unless the organization has another default'}; repository and branch are made when they are not there)

${table([{ title: '' }, { title: '', align: 'right' }], rows, style)}
${leftOut.length > 0 ? `\nNot sent: ${leftOut.join(', ')}` : ''}${quotes}

Nothing was sent. To send it: ${again} --upload${hasToken ? '' : '\nThat needs an access token, and there is none yet: set HF_TOKEN, or log in with `hf auth login`.'}`;
}
