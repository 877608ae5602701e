/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* Widths and depths of a random model; heads of the transformer are 128 wide, it has one refiner of each kind, the last layer of
 * the text encoder is not run. */
typedef struct
{
  int dim, n_layers;
  int text_dim, text_ffn, text_heads, text_kv_heads, text_head_dim, n_text_layers;
  int vae_channels[4], vae_layers;
} TinyModelShape;

/* Writes a whole model of random bf16 weights in the diffusers layout into FOLDER (made if need be): two heads of 128,
 * one refiner of each kind, two layers, three encoder layers of which two run, a VAE of 32 to 64 channels; about 3 MB.
 * The same SEED gives the same bytes.  Aborts the test on failure. */
void tiny_model_write (const char *folder, guint32 seed);

/* The same of any shape. */
void tiny_model_write_shape (const char *folder, const TinyModelShape *shape, guint32 seed);

/* The same in a new temporary folder; free with tiny_model_remove(). */
char *tiny_model_new (guint32 seed);
void tiny_model_remove (char *folder /* transfer full */);

/* Replaces the first FIND in FOLDER/FILE by REPLACE; aborts when FIND is not there. */
void tiny_model_edit (const char *folder, const char *file, const char *find, const char *replace);
