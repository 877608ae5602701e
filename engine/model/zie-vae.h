/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-ops.h"
#include "zie-weights.h"

#define ZIE_VAE_LEVELS 4
#define ZIE_VAE_SCALE 8               /* pixels to a latent element, each way */
#define ZIE_VAE_MAX_LAYERS 4

/* The autoencoder (spec section 7). */
typedef struct
{
  int channels[ZIE_VAE_LEVELS];       /* block_out_channels */
  int layers_per_block;               /* of the encoder; the decoder has one more */
  int latent_channels, groups;
  gboolean mid_attention;
  float scaling_factor, shift_factor;
} ZieVaeConfig;

/* How a file calls the autoencoder's tensors. */
typedef struct
{
  const char *prefix;                 /* static */
  gboolean is_original;               /* the original names (ae.safetensors), not diffusers' */
} ZieVaeNames;

/* FALSE: FILE holds no such autoencoder; by names alone. */
gboolean zie_vae_find_names (const ZieWeightFile *file, ZieVaeNames *names);
/* The full name of diffusers' MODULE followed by LEAF.  Free with g_free(). */
char *zie_vae_name (const ZieVaeNames *names, const char *module, const char *leaf);
/* The configuration that FILE's shapes tell, the rest as released.  Errors: MODEL_UNSUPPORTED, TENSOR_MISSING. */
gboolean zie_vae_config_from_file (ZieVaeConfig *config, const ZieWeightFile *file, GError **error);

typedef struct { ZieWeight gamma, beta; } ZieVaeNorm;

/* y = x' + conv2 (silu (norm2 (conv1 (silu (norm1 (x)))))), x' = x or its 1x1 shortcut where widths differ. */
typedef struct
{
  ZieVaeNorm norm1, norm2;
  ZieConv conv1, conv2, shortcut;
  gboolean has_shortcut;
} ZieVaeRes;

typedef struct
{
  ZieVaeNorm norm;
  ZieWeight q, q_bias, k, k_bias, v, v_bias, out, out_bias;
} ZieVaeAttention;

typedef struct
{
  ZieVaeRes res[ZIE_VAE_MAX_LAYERS + 1];
  int n_res;
  ZieConv resample;                   /* Up or Down */
  gboolean has_resample;
} ZieVaeLevel;

typedef struct
{
  ZieConv conv_in, conv_out;
  ZieVaeRes mid[2];
  ZieVaeAttention attention;
  ZieVaeLevel levels[ZIE_VAE_LEVELS]; /* in the order they are run */
  ZieVaeNorm norm_out;
  int block;                          /* in the weights */
} ZieVaeHalf;

typedef struct
{
  ZieVaeConfig config;
  ZieWeights *weights;                /* owned */
  ZieVaeHalf decoder, encoder;
  gboolean has_encoder;               /* a decoder alone is enough for text to image */
} ZieVae;

gboolean zie_vae_init (ZieVae *self, const ZieVaeConfig *config, const ZieWeightFile *file, GError **error);
void zie_vae_clear (ZieVae *self);

/* Progress of the layers, then the picture from top to bottom in bands of whole rows.  ROWS is [n * width, 3] f32 in
 * -1 … 1 before clamping, valid during the call.  FALSE stops the decode.  A counting decode calls BAND, too. */
typedef struct
{
  void (*progress) (gpointer data, int layer, int n_layers);                 /* may be NULL */
  gboolean (*band) (gpointer data, int index, int n_bands, gint64 y, const ZieTensor *rows);
  gpointer data;
} ZieVaeSink;

/* Where a level's activations are.  A block has two: x, which it adds to, and h between its convolutions. */
typedef enum
{
  ZIE_VAE_WHOLE,           /* on the device, each layer over all of them */
  ZIE_VAE_BANDS,           /* on the device, in bands of rows: the Up before the level is never whole */
  ZIE_VAE_SPILL_X,         /* the same with x in host memory */
  ZIE_VAE_SPILL,           /* and with both there */
} ZieVaePlace;

/* How an exact decode is cut.  Memory and time depend on it; the picture does not. */
typedef struct
{
  ZieVaePlace places[ZIE_VAE_LEVELS];   /* of the decoder's levels in the order they are run; the first is WHOLE, a level behind one
                                           that is not is not */
  int band_rows;                        /* of bands, of the picture's that are handed out too: a power of two, 8 at least */
  gboolean halve_last;                  /* the last block's second half is computed twice: for the last norm's statistics, and band
                                           by band right before the pixels, so that bands come over a long time */
} ZieVaeCut;

/* In one piece. */
void zie_vae_cut_init (ZieVaeCut *cut, const ZieOps *ops);
gboolean zie_vae_cut_spills (const ZieVaeCut *cut);                 /* to host memory */
int zie_vae_cut_get_n_bands (const ZieVaeCut *cut, int picture_height);

/* latent [latent_channels, h * w] f32 in model space.  Exact: GroupNorm statistics of the whole picture, one global
 * attention.  CUT NULL: in one piece; the last convolution is band by band in any case.  FALSE: cancelled or stopped. */
gboolean zie_vae_decode (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *latent, int h, int w, const ZieVaeCut *cut,
                         const ZieVaeSink *sink);

/* Tiles of SIZE pixels a side, of which neighbours share OVERLAP; multiples of 8. */
typedef struct
{
  int size, overlap;
  int n_down, n_across;       /* 1 each where one tile holds the picture: then the decode is the exact one */
} ZieVaeTiles;

/* For a picture of WIDTH x HEIGHT pixels.  SIZE 0: 384 up to 768, 512 up to 1024, else 640; OVERLAP 0: an eighth of the size. */
void zie_vae_tiles_init (ZieVaeTiles *tiles, int width, int height, int size, int overlap);

/* Rectangles of the picture as they are finished: pixel (column, row) of WIDTH x HEIGHT is at pixels + 3 * (row * stride + column),
 * f32 in host memory, valid during the call.  FALSE stops.  A counting decode calls nothing. */
typedef struct
{
  void (*progress) (gpointer data, int layer, int n_layers);                 /* of all tiles; may be NULL */
  gboolean (*tile) (gpointer data, int index, int n_tiles, int x, int y, int width, int height, const float *pixels, int stride);
  gpointer data;
} ZieVaeTileSink;

/* Not exact: tile by tile, each as if it were the picture, blended where they overlap, as diffusers' tiled_decode does.  LATENT
 * [latent_channels, h * w] in model space, in host memory.  FALSE: cancelled or stopped. */
gboolean zie_vae_decode_tiles (const ZieVae *self, ZieOpCtx *ctx, const float *latent, int h, int w, const ZieVaeTiles *tiles,
                               const ZieVaeTileSink *sink);

/* picture [3, 8h * 8w] f32 in -1 … 1 to mean and logvar (clamped to -30 … 20), each [latent_channels, h * w] f32, unscaled.
 * The latent in model space is (mean - shift_factor) * scaling_factor.  FALSE: cancelled. */
gboolean zie_vae_encode (const ZieVae *self, ZieOpCtx *ctx, const ZieTensor *picture, int h, int w, ZieTensor *mean,
                         ZieTensor *logvar);
