/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "test-cuda-cli"

/* zimage generate on the card of sim-card.h: what went otherwise than planned is said in a line, or as an event. */

#include <string.h>

#include <glib/gstdio.h>

#include "cli.h"
#include "fake-runtime.h"
#include "sim-card.h"
#include "tiny-model.h"

#define SAYS_LESS "warning: the card has less memory free than was planned for"
#define SAYS_AGAIN "numbers broke in bf16, the CPU computes this again in f32"

static char *folder;             /* of the model, and of what is written */
static GString *said;            /* on standard error */

static void
on_print (const char *text)
{
  g_string_append (said, text);
}

/* zimage generate with that prompt; it succeeds. */
static void
generate (const char *prompt, const char *option)
{
  g_autofree char *output = g_build_filename (folder, "picture.png", NULL);
  char *argv[] = { (char *)"generate", (char *)"--model", folder, (char *)"--device", (char *)"cuda", (char *)"--width", (char *)"32",
                   (char *)"--height", (char *)"32", (char *)"--steps", (char *)"1", (char *)"--prompt", (char *)prompt, (char *)"--output",
                   output, (char *)option, NULL };

  g_string_truncate (said, 0);
  g_assert_cmpint (cli_generate (option ? 16 : 15, argv), ==, CLI_OK);
  g_assert_cmpint (g_remove (output), ==, 0);
}

static guint
count_lines (const char *part)
{
  g_auto(GStrv) lines = g_strsplit (said->str, "\n", -1);
  guint n = 0;

  for (guint i = 0; lines[i] != NULL; i++)
    n += strstr (lines[i], part) != NULL;
  return n;
}

static void
plain (void)
{
  generate ("a tree", NULL);
  g_assert_cmpuint (count_lines (SAYS_LESS) + count_lines (SAYS_AGAIN), ==, 0);
}

/* Each step down is said, and the report has it. */
static void
less_memory (void)
{
  g_autofree char *report = g_build_filename (folder, "report.txt", NULL), *option = g_strconcat ("--report=", report, NULL), *text = NULL;

  fake_fail ("cudaMalloc", 8, cudaErrorMemoryAllocation);
  generate ("a tree", option);
  g_assert_true (fake_has_failed ());
  fake_fail (NULL, 0, cudaSuccess);
  g_assert_cmpuint (count_lines (SAYS_LESS), ==, 1);
  g_assert_cmpuint (count_lines (SAYS_AGAIN), ==, 0);
  g_assert_true (g_file_get_contents (report, &text, NULL, NULL));
  g_assert_nonnull (strstr (text, "stepped down"));
  g_remove (report);
}

static void
again_in_f32 (void)
{
  sim_break_linear (20);
  generate ("a tree of two", NULL);
  sim_break_linear (0);
  g_assert_cmpuint (count_lines (SAYS_AGAIN), ==, 1);
  g_assert_cmpuint (count_lines (SAYS_LESS), ==, 0);
}

static void
left_out (void)
{
  char *argv[] = { (char *)"devices", (char *)"--json", NULL };

  if (!g_test_subprocess ())
    {
      g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
      g_test_trap_assert_passed ();
      g_test_trap_assert_stdout ("*\"backend\":*\"cuda\"*\"index\":*1*\"left_out\":*card 0*compute capability*");
      return;
    }
  fake_start (FAKE_EAGER, 0);
  fake_set_cards (2, 1);
  g_assert_cmpint (cli_devices (2, argv), ==, CLI_OK);
}

int
main (int argc, char **argv)
{
  static const TinyModelShape shape = { .dim = 1280, .n_layers = 2, .text_dim = 64, .text_ffn = 96, .text_heads = 4, .text_kv_heads = 2,
                                        .text_head_dim = 32, .n_text_layers = 3, .vae_channels = { 32, 32, 64, 64 }, .vae_layers = 1 };
  int result;

  g_unsetenv ("ZIE_BACKEND");
  g_test_init (&argc, &argv, NULL);
  said = g_string_new (NULL);
  g_set_printerr_handler (on_print);
  folder = g_dir_make_tmp ("zie-cli-XXXXXX", NULL);
  tiny_model_write_shape (folder, &shape, 1);
  g_test_add_func ("/cuda-cli/plain", plain);
  g_test_add_func ("/cuda-cli/less-memory", less_memory);
  g_test_add_func ("/cuda-cli/again-in-f32", again_in_f32);
  g_test_add_func ("/cuda-cli/left-out", left_out);
  result = g_test_run ();
  g_string_free (said, TRUE);
  tiny_model_remove (folder);
  return result;
}
