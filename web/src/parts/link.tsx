import type { AnchorHTMLAttributes } from 'react';
import { addressOf } from '../address.ts';
import { go } from '../use.ts';

/** A link within the site; new tabs and the like are the browser's. */
export function Link({ href, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  return (
    <a
      {...rest}
      href={addressOf(href)}
      onClick={(event) => {
        rest.onClick?.(event);
        if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0)
          return;
        event.preventDefault();
        go(href);
        window.scrollTo(0, 0);
      }}
    />
  );
}
