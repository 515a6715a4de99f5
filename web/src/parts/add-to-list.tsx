import { useState } from 'react';
import { api, type Feature } from '../api.ts';
import { strengthIn, unitOf } from '../steering.ts';

/** What is typed next is a name, and no key of the page. */
function focus(input: HTMLInputElement | null): void {
  input?.focus();
  input?.select();
}

/** Puts a latent, as strong as the page has it, on a named list; the last name is offered again. */
export function AddToList({ feature }: { feature: Feature }) {
  const { run, latent } = feature;
  const [open, setOpen] = useState(false);
  const [said, setSaid] = useState<string>();
  const steering = () => {
    const { searchParams } = new URL(location.href);
    const mode = searchParams.get('mode') === 'clamp' ? ('clamp' as const) : ('add' as const);
    return { mode, value: strengthIn(searchParams) * unitOf(feature) };
  };
  async function add(name: string): Promise<void> {
    try {
      await api.addToList(name, { features: [{ run, latent, ...steering() }] });
      localStorage.setItem('saekit-list', name);
      setSaid(`on ${name}`);
      setOpen(false);
    } catch (error) {
      setSaid((error as Error).message);
    }
  }
  return (
    <>
      <button type="button" id="add-to-list" onClick={() => setOpen(!open)} aria-expanded={open}>
        + list
      </button>
      {open && (
        <form
          className="inline"
          onKeyDown={({ key }) => key === 'Escape' && setOpen(false)}
          onSubmit={(event) => {
            event.preventDefault();
            void add(String(new FormData(event.currentTarget).get('name')).trim());
          }}
        >
          <input
            ref={focus}
            name="name"
            aria-label="Name of the list"
            defaultValue={localStorage.getItem('saekit-list') ?? 'favourites'}
            required
          />
          <button type="submit">add</button>
        </form>
      )}
      {said && <span role="status">{said}</span>}
    </>
  );
}
