// Writes src/demo/golden/chess-games.json with another program: chess.js (npm i --no-save chess.js@1.4.0, then node this file).
// Random games from a small generator of its own; at every eighth ply, all legal moves in standard algebraic notation. Mates and
// castling are always taken, captures and pawn moves preferred: games reach promotions, en passant and ends.
import { writeFileSync } from 'node:fs';
import { Chess } from 'chess.js';

let state = 12345;
function below(n) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
}

const games = Array.from({ length: 24 }, () => {
  const chess = new Chess();
  const legal = {};
  for (let ply = 0; ply < 200 && !chess.isCheckmate() && !chess.isStalemate(); ply++) {
    const moves = chess.moves();
    if (ply % 8 === 7) legal[ply] = [...moves].sort().join(' ');
    const sure = moves.find((move) => /#|O-O/.test(move));
    const liked = moves.filter((move) => /x|=|^[a-h]/.test(move));
    chess.move(
      sure ?? (liked.length > 0 && below(3) > 0 ? liked[below(liked.length)] : moves[below(moves.length)]),
    );
  }
  return { moves: chess.history().join(' '), mate: chess.isCheckmate(), legal };
});
writeFileSync(process.argv[2], `${JSON.stringify({ program: 'chess.js 1.4.0', games }, null, 1)}\n`);
