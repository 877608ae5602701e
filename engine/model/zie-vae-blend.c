/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zie-model"

#include "zie-vae-private.h"

#include <string.h>

/* Decoding in tiles that overlap and are blended into each other, as diffusers' AutoencoderKL.tiled_decode does it (spec 7.3):
 * the same tiles, the same order, the same arithmetic in f32.  GroupNorm and attention see one tile alone, so the picture is not
 * the exact one.
 *
 * A tile is blended with what is left of the tile above and then of the one to the left, both already blended; of each of
 * those only the strip that meets a neighbour is kept.  Then its corner up to the next tiles is final. */

typedef struct
{
  const ZieVae *self;
  ZieOpCtx *ctx;
  const ZieVaeTileSink *sink;
  int h, w, tile, step;          /* latents; a tile's, and from one to the next */
  int blend;                     /* pixels that overlap */
  int n_down, n_across;
  float *latent;                 /* [channels, tile, tile] */
  float *pixels;                 /* [rows, columns, 3] of the tile at work */
  float *left;                   /* the last columns of the tile to the left: [rows, blend, 3] */
  float *above;                  /* the last rows of each tile above: [n_across][blend, columns, 3] */
  int i, j, rows, columns;       /* the tile at work; its pixels */
} Tiles;

void
zie_vae_tiles_init (ZieVaeTiles *tiles, int width, int height, int size, int overlap)
{
  int side = MAX (width, height);

  if (size <= 0)
    size = side <= 768 ? 384 : side <= 1024 ? 512 : 640;
  size = MAX (size / ZIE_VAE_SCALE, 2) * ZIE_VAE_SCALE;
  if (overlap <= 0)
    overlap = size / 8;
  overlap = MIN (overlap, size / 2) / ZIE_VAE_SCALE * ZIE_VAE_SCALE;

  *tiles = (ZieVaeTiles) { .size = size, .overlap = overlap, .n_down = 1, .n_across = 1 };
  if (side > size)
    {
      tiles->n_down = (height + size - overlap - 1) / (size - overlap);
      tiles->n_across = (width + size - overlap - 1) / (size - overlap);
    }
}

static int
side_of (const Tiles *t, int index, int n, int whole)
{
  return n == 1 ? whole : MIN (t->tile, whole - index * t->step);
}

static gsize
rgb_floats (gint64 n_pixels)
{
  return 3 * (gsize)n_pixels;
}

/* b = a * (1 - k / n) + b * k / n for N numbers. */
static void
mix (float *b, const float *a, int k, int n, gsize n_floats)
{
  float of_a = (float)(1 - (double)k / n), of_b = (float)((double)k / n);

  for (gsize i = 0; i < n_floats; i++)
    {
      float from_a = a[i] * of_a, from_b = b[i] * of_b;
      b[i] = from_a + from_b;
    }
}

/* What is kept of a neighbour is its last MIN (its side, blend) rows or columns; a shorter tile meets the last ones of those. */
static void
blend_above (const Tiles *t)
{
  const float *strip = t->above + (gsize)t->j * rgb_floats ((gint64)t->blend * t->tile * ZIE_VAE_SCALE);
  int rows_above = side_of (t, t->i - 1, t->n_down, t->h) * ZIE_VAE_SCALE;
  int kept = MIN (rows_above, t->blend), n = MIN (kept, t->rows);

  for (int y = 0; y < n; y++)
    mix (t->pixels + rgb_floats ((gint64)y * t->columns), strip + rgb_floats ((gint64)(kept - n + y) * t->columns), y, n,
         rgb_floats (t->columns));
}

static void
blend_left (const Tiles *t)
{
  int columns_left = side_of (t, t->j - 1, t->n_across, t->w) * ZIE_VAE_SCALE;
  int kept = MIN (columns_left, t->blend), n = MIN (kept, t->columns);

  for (int y = 0; y < t->rows; y++)
    for (int x = 0; x < n; x++)
      mix (t->pixels + rgb_floats ((gint64)y * t->columns + x), t->left + rgb_floats ((gint64)y * t->blend + kept - n + x), x, n, 3);
}

static void
keep_strips (const Tiles *t)
{
  float *above = t->above + (gsize)t->j * rgb_floats ((gint64)t->blend * t->tile * ZIE_VAE_SCALE);
  int rows = MIN (t->rows, t->blend), columns = MIN (t->columns, t->blend);

  memcpy (above, t->pixels + rgb_floats ((gint64)(t->rows - rows) * t->columns),
          rgb_floats ((gint64)rows * t->columns) * sizeof (float));
  for (int y = 0; y < t->rows; y++)
    memcpy (t->left + rgb_floats ((gint64)y * t->blend), t->pixels + rgb_floats ((gint64)(y + 1) * t->columns - columns),
            rgb_floats (columns) * sizeof (float));
}

static void
on_layer (gpointer data, int layer, int n_layers)
{
  const Tiles *t = data;
  int done = t->i * t->n_across + t->j;

  if (t->sink->progress != NULL)
    t->sink->progress (t->sink->data, done * n_layers + layer, t->n_down * t->n_across * n_layers);
}

static gboolean
on_band (gpointer data, int index, int n_bands, gint64 y, const ZieTensor *rows)
{
  const Tiles *t = data;

  t->ctx->ops->download (t->ctx, t->pixels + rgb_floats (y * t->columns), rows);
  return !zie_op_cancelled (t->ctx);
}

static gboolean
decode_tile (const Tiles *t, const float *latent)
{
  ZieOpCtx *ctx = t->ctx;
  ZieMark mark = zie_arena_mark (ctx->arena);
  int channels = t->self->config.latent_channels, h = t->rows / ZIE_VAE_SCALE, w = t->columns / ZIE_VAE_SCALE;
  ZieTensor planes = zie_tensor_new (ctx->arena, ZIE_DTYPE_F32, channels, (gint64)h * w);
  ZieVaeSink sink = { on_layer, on_band, (gpointer)t };
  gboolean done;

  if (ctx->tally == NULL)
    for (int c = 0; c < channels; c++)
      for (int y = 0; y < h; y++)
        memcpy (t->latent + ((gsize)c * (gsize)h + (gsize)y) * (gsize)w,
                latent + ((gsize)c * (gsize)t->h + (gsize)(t->i * t->step + y)) * (gsize)t->w + (gsize)(t->j * t->step),
                (gsize)w * sizeof (float));
  ctx->ops->upload (ctx, &planes, t->latent);
  done = zie_vae_decode (t->self, ctx, &planes, h, w, NULL, &sink);
  zie_arena_rewind (ctx->arena, mark);
  return done;
}

/* Only counted: tiles of one size stand for each other.  How many the one at work stands for; 0: an earlier one does for it. */
static int
count_alike (const Tiles *t)
{
  int alike_down = 0, alike_across = 0;

  for (int i = 0; i < t->n_down; i++)
    if (side_of (t, i, t->n_down, t->h) * ZIE_VAE_SCALE == t->rows)
      {
        if (i < t->i)
          return 0;
        alike_down++;
      }
  for (int j = 0; j < t->n_across; j++)
    if (side_of (t, j, t->n_across, t->w) * ZIE_VAE_SCALE == t->columns)
      {
        if (j < t->j)
          return 0;
        alike_across++;
      }
  return alike_down * alike_across;
}

static void
count_tile (const Tiles *t)
{
  ZieTally *tally = t->ctx->tally, before = *tally;
  int n = count_alike (t);

  if (n == 0)
    return;
  decode_tile (t, NULL);
  tally->flops += (tally->flops - before.flops) * (n - 1);
  tally->bytes += (tally->bytes - before.bytes) * (n - 1);
  if (before.weight_bytes > 0)
    tally->weight_bytes = before.weight_bytes;
}

/* Rows and columns of the tile that no later tile changes. */
static gboolean
hand_out (const Tiles *t)
{
  int rows = t->n_down == 1 ? t->rows : MIN (t->rows, t->step * ZIE_VAE_SCALE);
  int columns = t->n_across == 1 ? t->columns : MIN (t->columns, t->step * ZIE_VAE_SCALE);

  return t->sink->tile (t->sink->data, t->i * t->n_across + t->j, t->n_down * t->n_across, t->j * t->step * ZIE_VAE_SCALE,
                        t->i * t->step * ZIE_VAE_SCALE, columns, rows, t->pixels, t->columns);
}

gboolean
zie_vae_decode_tiles (const ZieVae *self, ZieOpCtx *ctx, const float *latent, int h, int w, const ZieVaeTiles *tiles,
                      const ZieVaeTileSink *sink)
{
  ZieMark host_mark = zie_arena_mark (ctx->host);
  Tiles t = { .self = self, .ctx = ctx, .sink = sink, .h = h, .w = w, .tile = tiles->size / ZIE_VAE_SCALE,
              .step = (tiles->size - tiles->overlap) / ZIE_VAE_SCALE, .blend = tiles->overlap, .n_down = tiles->n_down,
              .n_across = tiles->n_across };
  gint64 side_down = side_of (&t, 0, t.n_down, h), side_across = side_of (&t, 0, t.n_across, w), scale = ZIE_VAE_SCALE;
  gint64 channels = self->config.latent_channels;
  gboolean go_on = TRUE;

  t.latent = zie_arena_alloc (ctx->host, (gsize)(channels * side_down * side_across) * sizeof (float));
  t.pixels = zie_arena_alloc (ctx->host, rgb_floats (side_down * scale * side_across * scale) * sizeof (float));
  t.left = zie_arena_alloc (ctx->host, rgb_floats (side_down * scale * t.blend) * sizeof (float));
  t.above = zie_arena_alloc (ctx->host, (gsize)t.n_across * rgb_floats ((gint64)t.blend * t.tile * scale) * sizeof (float));

  for (t.i = 0; t.i < t.n_down && go_on; t.i++)
    for (t.j = 0; t.j < t.n_across && go_on; t.j++)
      {
        t.rows = side_of (&t, t.i, t.n_down, h) * ZIE_VAE_SCALE;
        t.columns = side_of (&t, t.j, t.n_across, w) * ZIE_VAE_SCALE;
        if (ctx->tally != NULL)
          {
            count_tile (&t);
            continue;
          }
        go_on = decode_tile (&t, latent);
        if (go_on && t.i > 0)
          blend_above (&t);
        if (go_on && t.j > 0)
          blend_left (&t);
        if (go_on)
          {
            keep_strips (&t);
            go_on = hand_out (&t);
          }
      }

  zie_arena_rewind (ctx->host, host_mark);
  return go_on;
}
