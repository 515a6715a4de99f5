/** Rates by label column: bars with the rate elsewhere as a mark; grey where the difference was not tested or is not clear. */
import type { Feature } from '../api.ts';
import { grouped } from '../words.ts';

const SHOWN = 10;
const CLEAR = 0.01;

export function Groups({ groups }: { groups: NonNullable<Feature['groups']> }) {
  // The register says most; the other columns as they come.
  const columns = [...new Set(groups.map(({ column }) => column))].sort(
    (a, b) => Number(b === 'register') - Number(a === 'register'),
  );
  const most = Math.max(...groups.map(({ rate }) => rate));
  const percent = (rate: number): string => `${(100 * rate).toFixed(rate < 0.01 ? 2 : 1)} %`;
  return (
    <div className="groups">
      {columns.map((column) => (
        <table key={column}>
          <caption>{column}</caption>
          <tbody>
            {groups
              .filter((group) => group.column === column)
              .sort((a, b) => b.rate - a.rate)
              .slice(0, SHOWN)
              .map(({ value, rate, rateRest, q, fired, tokens }) => (
                <tr key={value} className={q !== null && q < CLEAR ? 'clear' : ''}>
                  <th scope="row">{value}</th>
                  <td
                    className="track"
                    title={`${grouped(fired)} of ${grouped(tokens)} tokens; elsewhere ${percent(rateRest)}${q === null ? '; not tested: too few documents' : `; q ${q.toPrecision(2)}`}`}
                  >
                    <span className="fill" style={{ width: `${(100 * rate) / most}%` }} />
                    <span className="mark" style={{ left: `${Math.min(100, (100 * rateRest) / most)}%` }} />
                  </td>
                  <td className="fact">{percent(rate)}</td>
                </tr>
              ))}
          </tbody>
        </table>
      ))}
      <p className="fine">
        Share of tokens it fires on; the mark is the rate in all other documents. Coloured where the
        difference is clear (q &lt; {CLEAR}, over documents); grey too where there are too few documents to
        tell.
      </p>
    </div>
  );
}
