import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { applyMove, type ChessPosition, inCheck, legalMoves, moveToSan, startPosition } from './chess.ts';

/** Games of another program, chess.js; made by scripts/demo/oracles/chess-games.mjs. */
const golden = JSON.parse(readFileSync(new URL('./golden/chess-games.json', import.meta.url), 'utf8')) as {
  games: { moves: string; mate: boolean; legal: Record<string, string> }[];
};

function countLeaves(position: ChessPosition, depth: number): number {
  const moves = legalMoves(position);
  if (depth === 1) return moves.length;
  return moves.reduce((sum, move) => sum + countLeaves(applyMove(position, move), depth - 1), 0);
}

it('counts 20, 400 and 8902 positions after one, two and three plies, the published numbers', () => {
  expect([1, 2, 3].map((depth) => countLeaves(startPosition(), depth))).toEqual([20, 400, 8902]);
});

it('lists the same legal moves in the same notation as chess.js, through whole games', () => {
  let compared = 0;
  for (const { moves, legal, mate } of golden.games) {
    let position = startPosition();
    for (const [ply, san] of moves.split(' ').entries()) {
      const all = legalMoves(position);
      const expected = legal[ply];
      if (expected !== undefined) {
        const names = all.map((move) => moveToSan(position, move, all));
        expect(names.sort().join(' '), `${moves.slice(0, 40)}… ply ${ply}`).toBe(expected);
        compared += names.length;
      }
      const move = all.find((candidate) => moveToSan(position, candidate, all) === san);
      expect(move, `${san} at ply ${ply}`).toBeDefined();
      if (move !== undefined) position = applyMove(position, move);
    }
    expect(inCheck(position) && legalMoves(position).length === 0).toBe(mate);
  }
  expect(compared).toBeGreaterThan(5000);
});
