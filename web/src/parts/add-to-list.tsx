import { useState } from 'react';
import { api, type Feature } from '../api.ts';
import { strengthIn, unitOf } from '../steering.ts';

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
      const { lists } = await api.lists();
      const list = lists.find((one) => one.name === name);
      const features = (list?.features ?? []).filter((one) => one.run !== run || one.latent !== latent);
      await api.saveList({
        name,
        description: list?.description ?? '',
        features: [...features, { run, latent, ...steering() }],
      });
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
          onSubmit={(event) => {
            event.preventDefault();
            void add(String(new FormData(event.currentTarget).get('name')).trim());
          }}
        >
          <input
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
