/* SPDX-License-Identifier: Apache-2.0 */

/* The recipe that a picture carries: what is taken is written and taken again. */

#include "fuzz.h"

#include <string.h>

#include <zie/zie.h>

#include "zie-model-private.h"

/* A request is held against a model elsewhere; here none is made. */
const ZieModelInfo *
zie_model_get_info (const ZieModel *self)
{
  g_assert_not_reached ();
}

guint
zie_model_count_tokens (const ZieModel *self, const char *prompt)
{
  g_assert_not_reached ();
}

gboolean
zie_model_load_loras (ZieModel *self, const ZieRequest *request, GError **error)
{
  g_assert_not_reached ();
}

char *
zie_model_describe_loras (ZieModel *self, const ZieRequest *request)
{
  g_assert_not_reached ();
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *)data, size);
  ZieRequest request, again;
  GError *error = NULL;

  zie_request_init (&request);
  zie_request_init (&again);
  if (zie_request_from_json (&request, text, &error))
    {
      g_autofree char *json = zie_request_to_json (&request);

      if (!zie_request_from_json (&again, json, &error))
        fuzz_fail ("a recipe of ours is refused: %s: %s", error->message, json);
    }
  else
    fuzz_check_error (error, "");
  zie_request_clear (&request);
  zie_request_clear (&again);
  return 0;
}
