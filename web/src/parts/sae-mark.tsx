/** A mark on what comes of an SAE that nobody measured, or that is wrong; nothing where all is well. */
import type { RunSummary } from '../api.ts';

const UNVERIFIED =
  'Nobody has measured this SAE on activations of its hook: hook, layer, model or scale may be others than it says. saekit index or saekit eval measures it.';

export function SaeMark({ selfTest }: { selfTest: RunSummary['selfTest'] | undefined }) {
  if (selfTest?.state !== 'unverified' && selfTest?.state !== 'wrong') return null;
  return (
    <span className="origin doubt" title={selfTest.reasons.join(' ') || UNVERIFIED}>
      {selfTest.state} SAE
    </span>
  );
}
