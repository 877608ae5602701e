/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-cuda"

#include <string.h>

#include "cuda-weights-private.h"

/* Matrices are bf16 on the card, or quantised as they are stored; vectors f32; convolutions packed for their kernel. */

#define ALIGN ((gsize)256)
/* What one thread converts at a time, bytes of the device's form. */
#define PIECE_SIZE ((gsize)512 << 10)

CudaStored
cuda_stored_type (ZieDtype dtype, gint64 rows, gint64 cols)
{
  static const struct { ZieDtype dtype; CudaStored type; } types[] = {
    { ZIE_DTYPE_Q4_0, CUDA_STORED_Q4_0 }, { ZIE_DTYPE_Q4_1, CUDA_STORED_Q4_1 }, { ZIE_DTYPE_Q5_0, CUDA_STORED_Q5_0 },
    { ZIE_DTYPE_Q5_1, CUDA_STORED_Q5_1 }, { ZIE_DTYPE_Q8_0, CUDA_STORED_Q8_0 }, { ZIE_DTYPE_Q2_K, CUDA_STORED_Q2_K },
    { ZIE_DTYPE_Q3_K, CUDA_STORED_Q3_K }, { ZIE_DTYPE_Q4_K, CUDA_STORED_Q4_K }, { ZIE_DTYPE_Q5_K, CUDA_STORED_Q5_K },
    { ZIE_DTYPE_Q6_K, CUDA_STORED_Q6_K }, { ZIE_DTYPE_F8_E4M3, CUDA_STORED_F8_E4M3 }, { ZIE_DTYPE_F8_E5M2, CUDA_STORED_F8_E5M2 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (types) && rows > 1 && cols % 8 == 0; i++)
    if (types[i].dtype == dtype)
      return types[i].type;
  return CUDA_N_STORED;
}

gboolean
cuda_weight_is_conv (const ZieWeight *weight)
{
  return weight->use == ZIE_WEIGHT_CONV || weight->use == ZIE_WEIGHT_UPCONV;
}

ZieDtype
cuda_weight_dtype (const ZieWeight *weight)
{
  if (cuda_weight_is_conv (weight))
    return ZIE_DTYPE_BF16;
  if (weight->rows == 1)
    return ZIE_DTYPE_F32;
  return cuda_stored_type (weight->dtype, weight->rows, weight->cols) != CUDA_N_STORED ? weight->dtype : ZIE_DTYPE_BF16;
}

gsize
cuda_weight_scales_offset (const ZieWeight *weight)
{
  return (zie_dtype_row_size (weight->dtype, weight->rows * weight->cols) + 15) & ~(gsize)15;
}

gboolean
cuda_weight_has_scales (const ZieWeight *weight)
{
  return weight->scales != NULL && !cuda_weight_is_conv (weight) && cuda_stored_type (weight->dtype, weight->rows, weight->cols) != CUDA_N_STORED;
}

gsize
cuda_weight_size (const ZieWeight *weight)
{
  gsize size;

  if (weight->use == ZIE_WEIGHT_TABLE)
    return 0;
  if (cuda_weight_is_conv (weight))
    size = zie_cuda_conv_packed_size ((int)(weight->cols / ((gint64)weight->ksize * weight->ksize)), (int)weight->rows, weight->ksize,
                                      weight->use == ZIE_WEIGHT_UPCONV);
  else if (cuda_weight_has_scales (weight))
    size = cuda_weight_scales_offset (weight) + (gsize)weight->n_scales * sizeof (float);
  else
    size = zie_dtype_row_size (cuda_weight_dtype (weight), weight->rows * weight->cols);
  return (size + ALIGN - 1) & ~(ALIGN - 1);
}

/* As stored, before it is packed. */
gsize
cuda_weight_scratch (const ZieWeight *weight)
{
  return cuda_weight_is_conv (weight) ? ((gsize)(weight->rows * weight->cols) * sizeof (cuda_bf16) + ALIGN - 1) & ~(ALIGN - 1) : 0;
}

/* Numbers [from, from + n) of a weight, to a place in host memory as the card shall have them; n = 0: its scales. */
typedef struct
{
  const ZieWeight *weight;
  gint64 from, n;
  guint8 *to;
} Piece;

static void
convert_piece (gpointer data, gint64 item, guint thread)
{
  const Piece *piece = &((const Piece *)data)[item];
  const ZieWeight *w = piece->weight;
  ZieDtype dtype = cuda_weight_dtype (w);
  float numbers[1024];

  if (piece->n == 0)
    {
      memcpy (piece->to, w->scales, (gsize)w->n_scales * sizeof (float));
      return;
    }
  if (dtype == ZIE_DTYPE_F32)
    {
      zie_weight_numbers_to_f32 (w, piece->from, piece->n, (float *)(gpointer)piece->to);
      return;
    }
  if (w->dtype == dtype && (dtype != ZIE_DTYPE_BF16 || w->scales == NULL))
    {
      memcpy (piece->to, w->data + zie_dtype_row_size (dtype, piece->from), zie_dtype_row_size (dtype, piece->n));
      return;
    }
  for (gint64 i = 0; i < piece->n; i += (gint64)G_N_ELEMENTS (numbers))
    {
      gint64 n = MIN (piece->n - i, (gint64)G_N_ELEMENTS (numbers));
      cuda_bf16 *to = (cuda_bf16 *)(gpointer)piece->to + i;

      zie_weight_numbers_to_f32 (w, piece->from + i, n, numbers);
      for (gint64 j = 0; j < n; j++)
        to[j] = zie_f32_to_bf16 (numbers[j]);
    }
}

GArray *
cuda_pieces_new (void)
{
  return g_array_new (FALSE, FALSE, sizeof (Piece));
}

void
cuda_pieces_run (GArray *pieces, ZieThreads *threads)
{
  if (threads != NULL && pieces->len > 1)
    zie_threads_run (threads, pieces->len, NULL, convert_piece, pieces->data);
  else
    for (guint i = 0; i < pieces->len; i++)
      convert_piece (pieces->data, i, 0);
  g_array_set_size (pieces, 0);
}

void
cuda_pieces_add (GArray *pieces, const ZieWeight *weight, gint64 from, gint64 n, guint8 *to)
{
  ZieDtype dtype = cuda_weight_dtype (weight);
  gint64 step = (gint64)(PIECE_SIZE / zie_dtype_row_size (dtype, CUDA_WHOLE)) * CUDA_WHOLE;

  for (gint64 i = 0; i < n; i += step)
    {
      Piece piece = { weight, from + i, MIN (step, n - i), to + zie_dtype_row_size (dtype, i) };
      g_array_append_val (pieces, piece);
    }
}

void
cuda_pieces_add_scales (GArray *pieces, const ZieWeight *weight, guint8 *to)
{
  Piece piece = { weight, 0, 0, to };

  g_array_append_val (pieces, piece);
}
