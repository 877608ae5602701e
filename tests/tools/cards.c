/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "cards"

/* What pictures would take on cards that are not here, as a table in Markdown: README has one.
 *
 *   cards MODEL                       nothing is computed, and no weight is read
 *
 * A card is invented from its maker's published figures (multiprocessors, boost clock, memory) in the way in which the CUDA
 * backend describes one that is there, with 32 GB of host memory beside it. */

#include <stdio.h>

#include <zie/zie.h>

/* As backend/cuda/cuda-backend.c has it. */
#define SUSTAINED 0.68
#define BANDWIDTH 0.85
#define DESKTOP_SIZE (G_GUINT64_CONSTANT (500) << 20)     /* what a desktop takes of a card for itself */
#define CONTEXT_SIZE (G_GUINT64_CONSTANT (700) << 20)
#define HOST_SIZE (G_GUINT64_CONSTANT (28) << 30)

typedef struct
{
  const char *name;
  guint32 cc;
  double gib;
  int n_sm;
  double clock, bandwidth, link;     /* GHz, GB/s of its memory, GB/s from the host */
  int flops_per_clock;               /* of a multiprocessor, bf16 with fp32 sums */
} Card;

static const Card cards[] = {
  { "GeForce RTX 3050 6 GB", 86, 6, 18, 1.470, 168, 12, 512 },
  { "GeForce RTX 4060 8 GB", 89, 8, 24, 2.460, 272, 12, 512 },
  { "GeForce RTX 3060 12 GB", 86, 12, 28, 1.777, 360, 24, 512 },
  { "GeForce RTX 4060 Ti 16 GB", 89, 16, 34, 2.535, 288, 12, 512 },
  { "GeForce RTX 3090 24 GB", 86, 24, 82, 1.695, 936, 24, 512 },
  { "GeForce RTX 4090 24 GB", 89, 24, 128, 2.520, 1008, 24, 512 },
  { "GeForce RTX 5090 32 GB", 120, 32, 170, 2.407, 1792, 48, 512 },
  { "A100 40 GB", 80, 40, 108, 1.410, 1555, 24, 2048 },
  { "H100 80 GB", 90, 80, 132, 1.830, 3350, 48, 4096 },
  { "H200 141 GB", 90, 141, 132, 1.980, 4800, 48, 4096 },
};

static const int sides[] = { 768, 1024, 1536, 2048 };

static void
invent (const Card *card, ZieDevice *device)
{
  *device = (ZieDevice) {
    .kind = ZIE_BACKEND_CUDA,
    .memory_total = (guint64) (card->gib * (1 << 30)),
    .memory_free = (guint64) (card->gib * (1 << 30)) - DESKTOP_SIZE,
    .caps = card->cc,
    .n_threads = 1,
    .flops_bf16 = SUSTAINED * card->clock * 1e9 * card->n_sm * card->flops_per_clock,
    .bytes_per_second = BANDWIDTH * card->bandwidth * 1e9,
    .link_bytes_per_second = card->link * 1e9,
    .memory_base = CONTEXT_SIZE,
    .host_free = HOST_SIZE,
  };
  g_strlcpy (device->name, card->name, sizeof device->name);
}

static void
print_cell (ZieModel *model, const ZieDevice *device, int side)
{
  ZieRequest request;
  g_autoptr(ZiePlan) plan = NULL;
  g_autoptr(GError) error = NULL;

  zie_request_init (&request);
  zie_model_init_request (model, &request);
  g_free (request.prompt);
  request.prompt = g_strdup ("a lighthouse on a rocky coast at dusk, oil painting, heavy clouds, a small boat far out, warm light");
  request.width = request.height = side;
  plan = zie_plan_new (model, device, &request, NULL, &error);
  if (plan == NULL)
    printf (" %s |", g_error_matches (error, ZIE_ERROR, ZIE_ERROR_OUT_OF_DEVICE_MEMORY) ? "too large" : error->message);
  else
    {
      double seconds = zie_plan_get_seconds (plan);

      printf (" %.1f GiB, %.*f s |", (double)zie_plan_get_vram_peak (plan) / (1 << 30), seconds >= 10 ? 0 : seconds >= 1 ? 1 : 2, seconds);
    }
  zie_request_clear (&request);
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ZieModel) model = argc == 2 ? zie_model_open (argv[1], &error) : NULL;

  if (model == NULL)
    {
      g_printerr ("%s\n", error ? error->message : "usage: cards MODEL");
      return 2;
    }

  printf ("| card |");
  for (guint s = 0; s < G_N_ELEMENTS (sides); s++)
    printf (" %d × %d |", sides[s], sides[s]);
  printf ("\n|---|---|---|---|---|\n");
  for (guint c = 0; c < G_N_ELEMENTS (cards); c++)
    {
      ZieDevice device;

      invent (&cards[c], &device);
      printf ("| %s |", cards[c].name);
      for (guint s = 0; s < G_N_ELEMENTS (sides); s++)
        print_cell (model, &device, sides[s]);
      printf ("\n");
    }
  return 0;
}
