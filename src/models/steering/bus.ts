/**
 * The bus of one model: the sites that its sessions have. A site that was used stays, switched off, so that going back and forth between
 * features, SAEs and layers opens no session; only a site that is new does.
 */
import type { SteerSite } from '../../graph/index.ts';
import type { Ort } from '../../platform/index.ts';
import type { Feeds, Purpose } from '../sessions.ts';
import type { HookInfo } from '../types.ts';
import { createSteerFeeds } from './feeds.ts';
import { inOrder, planSteering } from './plan.ts';
import type { Intervention, SteerRows } from './types.ts';

/** What a run of some tokens needs to be steered. Asked at every run: the bus may have grown for somebody else in between. */
export type Steered = (rows: SteerRows) => {
  readonly purpose: Pick<Purpose, 'bus' | 'steer'>;
  readonly feeds: Feeds;
};

export const unsteered: Steered = () => ({ purpose: {}, feeds: {} });

export function createBus(hooks: readonly HookInfo[], ort: Ort) {
  let sites: readonly SteerSite[] = [];
  const keyOf = ({ writes, reads, slot }: SteerSite): string => JSON.stringify([writes, reads, slot]);

  return (interventions: readonly Intervention[]): Steered => {
    const plan = planSteering(hooks, interventions);
    const known = new Set(sites.map(keyOf));
    const added = plan.map(({ site }) => site).filter((site) => !known.has(keyOf(site)));
    if (added.length > 0) sites = [...sites, ...added].sort((a, b) => inOrder(hooks, a, b));
    let made = { sites, feeds: createSteerFeeds(sites, plan, ort) };
    return (rows) => {
      if (made.sites !== sites) made = { sites, feeds: createSteerFeeds(sites, plan, ort) };
      return { purpose: { bus: sites }, feeds: made.feeds(rows) };
    };
  };
}
