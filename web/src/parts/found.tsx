/** Why a search found a latent, where its name does not show it: the words marked, the place of a token, a cosine. */
import type { FeaturePage } from '../api.ts';
import { figure, titleOf, visible } from '../words.ts';

type Hit = FeaturePage['features'][number];

/** A text with the words of a query marked in it. */
export function Marked({ text, words }: { text: string; words: readonly string[] }) {
  if (words.length === 0) return text;
  const any = new RegExp(
    `(${words.map((word) => word.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|')})`,
    'giu',
  );
  // Every other part is one of the words.
  return text.split(any).map((part, i) => (i % 2 === 1 ? <mark key={i}>{part}</mark> : part));
}

/** "most", "2nd most". */
function most(place: number): string {
  const ending = [11, 12, 13].includes(place % 100) ? 'th' : (['th', 'st', 'nd', 'rd'][place % 10] ?? 'th');
  return place === 1 ? 'most' : `${place}${ending} most`;
}

export function Found({ hit, words }: { hit: Hit; words: readonly string[] }) {
  const { match, passages } = hit;
  if (!match) return null;
  const { text = '', value = 0 } = match;
  if (match.in === 'writes') return <>cosine {figure(value, 2)}</>;
  if (match.in === 'peaks' || match.in === 'raises')
    return (
      <>
        {match.in === 'peaks' ? 'peaks at' : 'raises'} <code>{visible(text)}</code> {most(value)}
        {match.in === 'peaks' ? ' often' : ''}
      </>
    );
  if (text === titleOf(hit)) return null;
  const where =
    match.in === 'passage' && passages !== undefined
      ? `${passages} ${passages === 1 ? 'passage' : 'passages'}`
      : match.in;
  return (
    <>
      {where}:{' '}
      <bdi>
        <Marked text={text} words={words} />
      </bdi>
    </>
  );
}
