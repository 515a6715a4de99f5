/**
 * A small, complete legal-move generator with standard algebraic notation; enough to write and to check games.
 *
 * Board: 64 cells, index = 8 · rank + file with a1 = 0; upper case is White. A move is legal if it is pseudo-legal and leaves the
 * mover's king unattacked. Not here: draw rules (fifty moves, repetition), FEN, speed.
 */

export interface ChessPosition {
  board: string[];
  white: boolean;
  /** Castling rights still open: a subset of 'KQkq'. */
  castling: string;
  /** The square behind a pawn that has just advanced two, or -1. */
  enPassant: number;
}

export interface ChessMove {
  from: number;
  to: number;
  piece: string;
  capture: boolean;
  promotion: string;
}

const knightSteps = [
  [1, 2],
  [2, 1],
  [2, -1],
  [1, -2],
  [-1, -2],
  [-2, -1],
  [-2, 1],
  [-1, 2],
] as const;
const kingSteps = [
  [0, 1],
  [1, 1],
  [1, 0],
  [1, -1],
  [0, -1],
  [-1, -1],
  [-1, 0],
  [-1, 1],
] as const;
const straight = kingSteps.filter(([x, y]) => x * y === 0);
const diagonal = kingSteps.filter(([x, y]) => x * y !== 0);

/** The position before the first move. */
export function startPosition(): ChessPosition {
  const board = [...'RNBQKBNR', ...'PPPPPPPP', ...' '.repeat(32), ...'pppppppp', ...'rnbqkbnr'];
  return { board, white: true, castling: 'KQkq', enPassant: -1 };
}

/** The name of a square: 0 is a1, 63 is h8. */
export function squareName(square: number): string {
  return 'abcdefgh'.charAt(square % 8) + String(Math.floor(square / 8) + 1);
}

function isWhite(piece: string): boolean {
  return piece >= 'A' && piece <= 'Z';
}

function offset(square: number, dx: number, dy: number): number {
  const file = (square % 8) + dx;
  const rank = (square >> 3) + dy;
  return file < 0 || file > 7 || rank < 0 || rank > 7 ? -1 : rank * 8 + file;
}

function at(board: string[], square: number): string {
  return board[square] as string;
}

function ray(board: string[], square: number, dx: number, dy: number): number[] {
  const cells: number[] = [];
  for (let next = offset(square, dx, dy); next >= 0; next = offset(next, dx, dy)) {
    cells.push(next);
    if (at(board, next) !== ' ') break;
  }
  return cells;
}

function stepsOf(kind: string): readonly (readonly [number, number])[] {
  if (kind === 'N') return knightSteps;
  if (kind === 'R') return straight;
  if (kind === 'B') return diagonal;
  return kingSteps;
}

/** Whether a side attacks a square. */
export function isAttacked(board: string[], square: number, byWhite: boolean): boolean {
  const own = (kind: string) => (byWhite ? kind : kind.toLowerCase());
  for (const dx of [-1, 1]) {
    const from = offset(square, dx, byWhite ? -1 : 1);
    if (from >= 0 && at(board, from) === own('P')) return true;
  }
  for (const [dx, dy] of knightSteps) {
    const from = offset(square, dx, dy);
    if (from >= 0 && at(board, from) === own('N')) return true;
  }
  for (const [dx, dy] of kingSteps) {
    const cells = ray(board, square, dx, dy);
    const last = cells.at(-1);
    if (last === undefined) continue;
    const piece = at(board, last);
    if (piece === own('Q') || piece === own(dx * dy === 0 ? 'R' : 'B')) return true;
    if (cells.length === 1 && piece === own('K')) return true;
  }
  return false;
}

/** Whether the side to move is in check. */
export function inCheck({ board, white }: ChessPosition): boolean {
  return isAttacked(board, board.indexOf(white ? 'K' : 'k'), !white);
}

function pseudoLegalMoves({ board, white, castling, enPassant }: ChessPosition): ChessMove[] {
  const moves: ChessMove[] = [];
  const free = (square: number) => at(board, square) === ' ';
  const enemy = (square: number) => !free(square) && isWhite(at(board, square)) !== white;
  for (let from = 0; from < 64; from++) {
    const piece = at(board, from);
    if (piece === ' ' || isWhite(piece) !== white) continue;
    const kind = piece.toUpperCase();
    const add = (to: number, capture: boolean) => {
      const promotes = kind === 'P' && (to >> 3 === 0 || to >> 3 === 7);
      for (const promotion of promotes ? ['Q', 'R', 'B', 'N'] : [''])
        moves.push({ from, to, piece: kind, capture, promotion });
    };
    if (kind === 'P') {
      const up = white ? 1 : -1;
      const one = offset(from, 0, up);
      if (free(one)) {
        add(one, false);
        const two = offset(one, 0, up);
        if (from >> 3 === (white ? 1 : 6) && free(two)) add(two, false);
      }
      for (const dx of [-1, 1]) {
        const to = offset(from, dx, up);
        if (to >= 0 && (enemy(to) || to === enPassant)) add(to, true);
      }
      continue;
    }
    for (const [dx, dy] of stepsOf(kind)) {
      const cells = kind === 'N' || kind === 'K' ? [offset(from, dx, dy)] : ray(board, from, dx, dy);
      for (const to of cells) if (to >= 0 && (free(to) || enemy(to))) add(to, enemy(to));
    }
    if (kind !== 'K' || isAttacked(board, from, !white)) continue;
    const [short, long] = white ? ['K', 'Q'] : ['k', 'q'];
    if (
      castling.includes(short as string) &&
      free(from + 1) &&
      free(from + 2) &&
      !isAttacked(board, from + 1, !white)
    )
      add(from + 2, false);
    if (
      castling.includes(long as string) &&
      free(from - 1) &&
      free(from - 2) &&
      free(from - 3) &&
      !isAttacked(board, from - 1, !white)
    ) {
      add(from - 2, false);
    }
  }
  return moves;
}

/** The position after a move; the given one is left as it is. */
export function applyMove(position: ChessPosition, move: ChessMove): ChessPosition {
  const { white, enPassant } = position;
  const board = [...position.board];
  const { from, to, piece, promotion } = move;
  board[to] = promotion === '' ? at(board, from) : white ? promotion : promotion.toLowerCase();
  board[from] = ' ';
  if (piece === 'P' && to === enPassant) board[to + (white ? -8 : 8)] = ' ';
  if (piece === 'K' && Math.abs(to - from) === 2) {
    const [rookFrom, rookTo] = to > from ? [to + 1, to - 1] : [to - 2, to + 1];
    board[rookTo] = at(board, rookFrom);
    board[rookFrom] = ' ';
  }
  // A right is gone once its king or its rook's corner has been touched.
  const lost: Record<number, string> = { 0: 'Q', 4: 'KQ', 7: 'K', 56: 'q', 60: 'kq', 63: 'k' };
  const gone = (lost[from] ?? '') + (lost[to] ?? '');
  const castling = [...position.castling].filter((right) => !gone.includes(right)).join('');
  return {
    board,
    white: !white,
    castling,
    enPassant: piece === 'P' && Math.abs(to - from) === 16 ? (from + to) / 2 : -1,
  };
}

/** All legal moves of the side to move. */
export function legalMoves(position: ChessPosition): ChessMove[] {
  const king = position.white ? 'K' : 'k';
  return pseudoLegalMoves(position).filter((move) => {
    const { board } = applyMove(position, move);
    return !isAttacked(board, board.indexOf(king), !position.white);
  });
}

/** Standard algebraic notation of a legal move, with `+` or `#` where due. */
export function moveToSan(
  position: ChessPosition,
  move: ChessMove,
  moves: ChessMove[] = legalMoves(position),
): string {
  const { from, to, piece, capture, promotion } = move;
  const next = applyMove(position, move);
  const suffix = inCheck(next) ? (legalMoves(next).length === 0 ? '#' : '+') : '';
  if (piece === 'K' && Math.abs(to - from) === 2) return (to > from ? 'O-O' : 'O-O-O') + suffix;
  const target = (capture ? 'x' : '') + squareName(to) + (promotion === '' ? '' : `=${promotion}`) + suffix;
  if (piece === 'P') return (capture ? squareName(from).charAt(0) : '') + target;
  const rivals = moves.filter((other) => other.piece === piece && other.to === to && other.from !== from);
  if (rivals.length === 0) return piece + target;
  if (rivals.every((other) => other.from % 8 !== from % 8))
    return piece + squareName(from).charAt(0) + target;
  if (rivals.every((other) => other.from >> 3 !== from >> 3))
    return piece + squareName(from).charAt(1) + target;
  return piece + squareName(from) + target;
}
