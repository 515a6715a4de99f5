/** Waiting, failing, and having nothing are pages too: what is missing, and what to do. */
import type { ReactNode } from 'react';
import { type Answer, inAddress } from '../use.ts';

export function Waiting({ what }: { what: string }) {
  return (
    <p className="waiting" role="status">
      {what} …
    </p>
  );
}

export function Problem({ children }: { children: ReactNode }) {
  return (
    <div className="problem" role="alert">
      <strong>That did not work.</strong> {children}
    </div>
  );
}

/** A command line to copy; it breaks between words alone. */
export function Command({ children }: { children: string }) {
  return (
    <pre>
      {children.split(' ').map((word, i) => (
        <span key={i}>
          {i > 0 && ' '}
          <span className="word">{word}</span>
        </span>
      ))}
    </pre>
  );
}

export function Nothing({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="nothing">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** Beside a field whose text may be longer than an address. */
export const TooLong = () =>
  inAddress() ? null : (
    <p className="fine" role="status">
      Too long for a link: this tab keeps the text, also when it is reloaded; a copied address does not have
      it.
    </p>
  );

/** What an answer has to say while it is not there. */
export function Status({ answer, what }: { answer: Answer<unknown>; what: string }) {
  if (answer.error !== undefined)
    return (
      <Problem>
        {answer.error}{' '}
        {!answer.refused && (
          <button type="button" onClick={answer.again}>
            try again
          </button>
        )}
      </Problem>
    );
  return answer.slow ? <Waiting what={what} /> : null;
}
