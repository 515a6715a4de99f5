/**
 * Chess games in standard algebraic notation; every move is legal. Moves are drawn with a taste for captures, checks, castling and
 * the centre, so that games look like games.
 * Spans: `move` (value: piece letter), `square` (the target), `move-number`, and `capture`, `check`, `castle` on whole moves.
 */
import type { Rng } from '../../shared/rng.ts';
import {
  applyMove,
  type ChessMove,
  inCheck,
  legalMoves,
  moveToSan,
  squareName,
  startPosition,
} from '../chess.ts';
import { createDraft, type LabelledText } from '../labelled-text.ts';

const worth: Record<string, number> = { P: 1, N: 3, B: 3, R: 5, Q: 9, K: 0, ' ': 0 };

function weightOf(board: string[], move: ChessMove, moveNumber: number): number {
  const { from, to, piece, capture, promotion } = move;
  if (promotion !== '') return promotion === 'Q' ? 40 : 1;
  let weight = 1;
  if (capture) weight += 4 + 3 * (worth[(board[to] ?? ' ').toUpperCase()] ?? 0);
  if (piece === 'K') weight *= Math.abs(to - from) === 2 ? 30 : 0.2;
  const centre = 3.5 - Math.max(Math.abs((to % 8) - 3.5), Math.abs((to >> 3) - 3.5));
  if (moveNumber < 12) {
    weight *= piece === 'P' ? 0.5 + centre * centre : piece === 'N' || piece === 'B' ? 1 + 1.5 * centre : 0.4;
    // Develop pieces that still stand on their first rank.
    if ((piece === 'N' || piece === 'B') && (from < 8 || from >= 56)) weight *= 3;
  }
  return weight;
}

/** One game (or its beginning), with move numbers and, when it ends by mate, its result. */
export function generateChess(rng: Rng): LabelledText {
  const draft = createDraft();
  const plies = 36 + rng.int(36);
  let position = startPosition();
  for (let ply = 0; ply < plies; ply++) {
    const moves = legalMoves(position);
    if (moves.length === 0) {
      draft.put(inCheck(position) ? (position.white ? '0-1' : '1-0') : '1/2-1/2');
      break;
    }
    const number = ply / 2 + 1;
    const weights = moves.map((move) => weightOf(position.board, move, number));
    let left = rng.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
    const move = moves[weights.findIndex((weight) => (left -= weight) < 0)] ?? (moves.at(-1) as ChessMove);
    const san = moveToSan(position, move, moves);
    if (ply % 2 === 0) {
      draft.mark('move-number', `${number}.`);
      draft.put(' ');
    }
    const writeMove = () => {
      const name = squareName(move.to);
      const at = san.lastIndexOf(name);
      if (san.startsWith('O')) return draft.mark('castle', san);
      draft.put(san.slice(0, at));
      draft.mark('square', name, name);
      draft.put(san.slice(at + 2));
    };
    const writeCheck = () => (/[+#]$/.test(san) ? draft.mark('check', writeMove) : writeMove());
    draft.mark('move', () => (move.capture ? draft.mark('capture', writeCheck) : writeCheck()), move.piece);
    draft.put(ply % 10 === 9 ? '\n' : ' ');
    position = applyMove(position, move);
  }
  return draft.done();
}
