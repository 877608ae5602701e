/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cuda-intrinsics.h"

/* Who computes which rows, where workers (an SM's block) stay for the whole launch.  A piece is whole: ROWS rows of
 * a head, or half: ROWS / 2, which take a worker half of the time.  A head has whole ones and, where at most half of
 * the last one's rows are left, a half one. */

typedef struct
{
  int n_workers, rows, heads;
  int n_whole, n_half;         /* of a head; n_half: 0 or 1 */
} AttentionPieces;

typedef struct
{
  int head, row0, is_half;
} AttentionPiece;

/* For at most N_WORKERS. */
static inline AttentionPieces
attention_pieces (int heads, int m, int rows, int n_workers)
{
  const int rest = m % rows;
  AttentionPieces p = { n_workers, rows, heads, m / rows + (rest > rows / 2), rest > 0 && rest <= rows / 2 };

  p.n_workers = min (n_workers, heads * (2 * p.n_whole + p.n_half));
  return p;
}

/* Piece number INDEX of WORKER; false after its last.  First rounds in which every worker has a whole piece.  R
 * whole ones remain, and the heads' half ones: all of them as halves if one round of halves takes them, else whole
 * ones for the first R workers and meanwhile two halves for each of the others, then what halves are left. */
DEVICE bool
attention_piece (AttentionPiece *piece, const AttentionPieces &p, int worker, int index)
{
  const int n_whole = p.heads * p.n_whole, n_half = p.heads * p.n_half;
  const int rounds = n_whole / p.n_workers, r = n_whole % p.n_workers, idle = p.n_workers - r, last = index - rounds;
  int whole = index * p.n_workers + worker, half = -1, part = -1;

  if (last >= 0)
    {
      if (2 * r + n_half <= p.n_workers)
        {
          half = last * p.n_workers + worker - 2 * r;
          if (half < 0)
            {
              whole = rounds * p.n_workers + worker / 2;
              part = worker % 2;
            }
        }
      else if (worker >= r)
        half = last < 2 ? last * idle + worker - r : last * p.n_workers - 2 * r + worker;
      else if (last > 0)
        half = 2 * idle + (last - 1) * p.n_workers + worker;
    }

  if (half >= 0)
    *piece = { half, p.n_whole * p.rows, 1 };
  else
    *piece = { whole / p.n_whole, whole % p.n_whole * p.rows + (part > 0 ? p.rows / 2 : 0), part >= 0 };
  return half < n_half;
}
