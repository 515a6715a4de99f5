import type { FeatureName } from '../api.ts';
import { hue } from '../colour.ts';
import { featurePath, rarity, titleOf } from '../words.ts';
import { Link } from './link.tsx';

/** Where a label comes from stands beside it, always. */
export function Origin({ label, origin, guess }: Pick<FeatureName, 'label' | 'origin' | 'guess'>) {
  if (label !== undefined)
    return <span className={`origin ${origin ?? 'person'}`}>{origin ?? 'person'}</span>;
  return guess === undefined ? null : <span className="origin">guess</span>;
}

/** One latent in a list: hue, name, origin, rarity. */
export function NameRow({
  feature,
  extra,
  params,
}: {
  feature: FeatureName;
  extra?: string;
  params?: Record<string, string>;
}) {
  return (
    <Link className="name-row" href={featurePath(feature, params)} style={hue(feature.latent)}>
      <span className="dot" aria-hidden="true" />
      <span className="id">#{feature.latent}</span>
      <span className="title">{titleOf(feature)}</span>
      <Origin {...feature} />
      <span className="fact">{extra ?? rarity(feature.density)}</span>
    </Link>
  );
}
