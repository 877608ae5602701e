/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <zie/zie-types.h>

G_BEGIN_DECLS

/* A LoRA: a file's path, or the name of one in the folders where they are looked for. */
typedef struct
{
  char *file;                /* owned */
  double strength;
} ZieLoraChoice;

/* What is asked for: plain data, owned strings, value semantics. */
struct _ZieRequest
{
  char *prompt;              /* owned, UTF-8 */
  char *negative_prompt;     /* owned or NULL; used when guidance > 0 */
  int width, height;         /* pixels, multiples of 16 */
  int n_steps;               /* forwards of the transformer */
  int n_images;              /* image i has seed + i and equals the one made alone with that seed */
  guint64 seed;
  double guidance;           /* pred = pos + g (pos - neg); 0 = off, one forward a step */
  double cfg_truncation;     /* guidance is dropped where 1 - sigma exceeds it; 1 = never */
  double cfg_normalization;  /* 0 = off, else the norm of pred is held to this many norms of pos */
  double shift;              /* of the schedule; 0 = the model's */
  ZieSampler sampler;
  ZieNoise noise;
  int noise_cuda_sms;        /* the card imitated by CUDA noise where pictures are large: multiprocessors … */
  int noise_cuda_threads;    /* … and resident threads of each; 132 and 2048 by default */
  ZieCompute compute;
  ZieDecode decode;
  int tile_size;             /* of BLEND: pixels of a tile's side, a multiple of 8; 0 = 384 up to 768, 512 up to 1024, else 640 */
  int tile_overlap;          /* pixels that neighbours share, a multiple of 8, at most half a tile; 0 = an eighth of a tile */
  gboolean truncate_prompt;  /* cut a prompt of more than 512 ids instead of refusing it */
  int preview_every;         /* steps; 0 = no previews */
  ZieImage *init_image;      /* owned or NULL: image to image; scaled to width × height */
  ZieImage *mask;            /* owned or NULL: white = repaint (inpainting) */
  double strength;           /* of image to image, 0 to 1 */
  ZieLoraChoice *loras;      /* owned; see zie_request_add_lora() */
  guint n_loras;
  char *model_name;          /* owned or NULL: written into recipes, not read by the engine */
  guint redone;              /* bits 1 << ZieStage, of a recipe: computed again in f32, since they broke; not read by the engine */
};

/* The defaults of Z-Image-Turbo (1024², 8 steps, guidance 0); zie_model_init_request() gives a model's own. */
ZIE_API void zie_request_init (ZieRequest *self);
ZIE_API void zie_request_copy (ZieRequest *dest, const ZieRequest *src);    /* DEST is not read: may be raw memory */
ZIE_API void zie_request_clear (ZieRequest *self);

/* LoRAs add to each other, in any order. */
ZIE_API void zie_request_add_lora (ZieRequest *self, const char *file, double strength);
ZIE_API void zie_request_clear_loras (ZieRequest *self);

/* Everything that can be refused before any work: size, steps, prompt text (empty, control characters other than
 * tab and line ends, broken UTF-8), prompt length in ids against the model's limit, ranges of numbers.
 * MODEL may be NULL: then only what does not depend on one. */
ZIE_API gboolean zie_request_validate (const ZieRequest *self, ZieModel *model, GError **error);

/* A reason why the request will disappoint (steps other than the distilled 8, another sampler or guidance on Turbo), or NULL.
 * English, one sentence; free with g_free().  MODEL NULL: nothing is known, so NULL. */
ZIE_API char *zie_request_get_advice (const ZieRequest *self, ZieModel *model);

/* The recipe: our JSON (one object, stable keys) and the text that A1111-style tools read.  Reading gives the same
 * request back, without init_image and mask, and with the LoRAs' names in place of their paths; keys that are absent keep what SELF has, and SELF is untouched by an error
 * (INVALID_REQUEST).  zie_request_from_parameters() reads the A1111 text, which has no words for some fields (images,
 * compute, previews) and cannot tell a prompt's line "Negative prompt:" from its own. */
ZIE_API char *zie_request_to_json (const ZieRequest *self);
ZIE_API gboolean zie_request_from_json (ZieRequest *self, const char *json, GError **error);
ZIE_API char *zie_request_to_parameters (const ZieRequest *self);
ZIE_API gboolean zie_request_from_parameters (ZieRequest *self, const char *text, GError **error);

/* The recipe inside a PNG, ours preferred over A1111's; FILE_NOT_FOUND when it holds neither. */
ZIE_API gboolean zie_request_from_png (ZieRequest *self, const char *path, GError **error);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ZieRequest, zie_request_clear)

G_END_DECLS
