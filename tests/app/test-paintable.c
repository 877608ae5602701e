/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "zis-paintable.h"

#define W 64
#define H 32

static ZieImage *
plain (int width, int height, guint8 level)
{
  gsize size = (gsize) width * (gsize) height * 3;
  guint8 *pixels = g_malloc (size);

  memset (pixels, level, size);
  return zie_image_new (width, height, (gsize) width * 3, g_bytes_new_take (pixels, size));
}

static void
draw_one_way (ZisPaintable *paintable, gboolean by_cairo, guint8 levels[H][W])
{
  GtkSnapshot *snapshot = gtk_snapshot_new ();
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_RGB24, W, H);
  cairo_t *cr = cairo_create (surface);
  GskRenderNode *node;

  zis_paintable_draw (paintable, snapshot, W, H, by_cairo);
  node = gtk_snapshot_free_to_node (snapshot);
  if (node)
    {
      gsk_render_node_draw (node, cr);
      gsk_render_node_unref (node);
    }
  cairo_surface_flush (surface);
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++)
      levels[y][x] = cairo_image_surface_get_data (surface)[y * cairo_image_surface_get_stride (surface) + 4 * x];
  cairo_destroy (cr);
  cairo_surface_destroy (surface);
}

/* What would be drawn for the whole picture at W × H, as grey levels; the same for every renderer. */
static void
draw (ZisPaintable *paintable, guint8 levels[H][W])
{
  guint8 others[H][W];

  zis_paintable_flush (paintable);
  draw_one_way (paintable, FALSE, levels);
  draw_one_way (paintable, TRUE, others);
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++)
      g_assert_cmpint (ABS (levels[y][x] - others[y][x]), <=, 2);
}

static void
test_grows (void)
{
  g_autoptr(ZisPaintable) paintable = zis_paintable_new (W, H);
  g_autoptr(ZieImage) preview = plain (W / 8, H / 8, 100), band = plain (W, 8, 200), done = plain (W, H, 250);
  guint8 levels[H][W];

  /* The size is the finished picture's from the beginning. */
  g_assert_cmpint (gdk_paintable_get_intrinsic_width (GDK_PAINTABLE (paintable)), ==, W);
  g_assert_cmpint (gdk_paintable_get_intrinsic_height (GDK_PAINTABLE (paintable)), ==, H);
  g_assert_true (zis_paintable_is_empty (paintable));
  zis_paintable_set_view (paintable, W, H, NULL);

  zis_paintable_push_preview (paintable, preview);
  draw (paintable, levels);
  g_assert_cmpint (levels[0][0], ==, 100);
  g_assert_cmpint (levels[H - 1][W - 1], ==, 100);

  zis_paintable_push_band (paintable, band, 0, 8);
  draw (paintable, levels);
  g_assert_cmpint (levels[7][5], ==, 100);
  g_assert_cmpint (levels[8][5], ==, 200);
  g_assert_cmpint (levels[15][5], ==, 200);
  g_assert_cmpint (levels[16][5], ==, 100);

  /* A late preview does not wash over finished bands. */
  zis_paintable_push_preview (paintable, preview);
  draw (paintable, levels);
  g_assert_cmpint (levels[8][5], ==, 200);

  zis_paintable_set_image (paintable, done);
  draw (paintable, levels);
  g_assert_cmpint (levels[0][0], ==, 250);
  g_assert_true (zis_paintable_get_image (paintable) == done);
}

static void
test_enlarged (void)
{
  g_autoptr(ZisPaintable) paintable = zis_paintable_new (W, H);
  guint8 *pixels = g_malloc0 (W * H * 3);
  g_autoptr(ZieImage) image = NULL;
  guint8 levels[H][W];

  /* One bright pixel at (10, 5), of which the part (8, 4) 16 × 8 is looked at, sixteen times enlarged. */
  memset (pixels + (5 * W + 10) * 3, 255, 3);
  image = zie_image_new (W, H, W * 3, g_bytes_new_take (pixels, W * H * 3));
  zis_paintable_set_image (paintable, image);
  zis_paintable_set_view (paintable, W * 16, H * 16, &GRAPHENE_RECT_INIT (8, 4, 16, 8));
  draw (paintable, levels);
  g_assert_cmpint (levels[5][10], >, 200);
  g_assert_cmpint (levels[5][12], <, 50);
}

static void
test_conflates (void)
{
  g_autoptr(ZisPaintable) paintable = zis_paintable_new (1024, 1024);
  gint64 begin = g_get_monotonic_time ();
  guint8 levels[H][W];

  zis_paintable_set_view (paintable, 900, 900, NULL);
  for (int i = 0; i < 200; i++)
    {
      g_autoptr(ZieImage) image = plain (1024, 1024, (guint8) i);

      zis_paintable_push_preview (paintable, image);
    }
  draw (paintable, levels);
  g_assert_cmpint (levels[0][0], ==, 199);
  /* Scaling each of them would take far longer than making them. */
  g_test_message ("200 previews: %.0f ms", (double) (g_get_monotonic_time () - begin) / 1000);
}

static void
test_dies_while_drawing (void)
{
  for (int i = 0; i < 50; i++)
    {
      g_autoptr(ZisPaintable) paintable = zis_paintable_new (256, 256);
      g_autoptr(ZieImage) image = plain (256, 256, 9);

      zis_paintable_set_view (paintable, 300, 300, NULL);
      zis_paintable_set_image (paintable, image);
    }
  for (int i = 0; i < 20; i++)
    {
      g_usleep (5000);
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  /* There need not be a display: what is drawn goes to memory. */
  gtk_init_check ();
  g_test_add_func ("/paintable/grows", test_grows);
  g_test_add_func ("/paintable/enlarged", test_enlarged);
  g_test_add_func ("/paintable/conflates", test_conflates);
  g_test_add_func ("/paintable/dies-while-drawing", test_dies_while_drawing);
  return g_test_run ();
}
