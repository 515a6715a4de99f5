import { useState } from 'react';
import { api, type FeatureName } from '../api.ts';

/** Puts a latent on a named list; the last name is offered again. */
export function AddToList({ feature: { run, latent } }: { feature: Pick<FeatureName, 'run' | 'latent'> }) {
  const [open, setOpen] = useState(false);
  const [said, setSaid] = useState<string>();
  async function add(name: string): Promise<void> {
    try {
      const { lists } = await api.lists();
      const list = lists.find((one) => one.name === name);
      const features = (list?.features ?? []).filter((one) => one.run !== run || one.latent !== latent);
      await api.saveList({
        name,
        description: list?.description ?? '',
        features: [...features, { run, latent }],
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
