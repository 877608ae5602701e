/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-session"

#include "zis-session-private.h"

typedef struct
{
  ZieModel *model;           /* owned */
  char *text;                /* owned */
  int overflow_at;
} Counting;

static void
counting_free (gpointer data)
{
  Counting *self = data;

  zie_model_unref (self->model);
  g_free (self->text);
  g_free (self);
}

/* The longest beginning of the text (in whole characters) that stays inside the limit.  The count of a longer
 * beginning is never smaller by more than a merge or two, so halving finds the place to a character or so. */
static int
find_overflow (ZieModel *model, char *text, guint limit)
{
  glong low = 0, high = g_utf8_strlen (text, -1);

  while (low < high)
    {
      glong middle = (low + high + 1) / 2;
      char *end = g_utf8_offset_to_pointer (text, middle);
      char saved = *end;
      guint n;

      *end = '\0';
      n = zie_model_count_tokens (model, text);
      *end = saved;
      if (n <= limit)
        low = middle;
      else
        high = middle - 1;
    }

  return (int) (g_utf8_offset_to_pointer (text, low) - text);
}

static void
count_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Counting *self = data;
  guint limit = (guint) zie_model_get_info (self->model)->max_prompt_ids;
  guint n = zie_model_count_tokens (self->model, self->text);

  self->overflow_at = n > limit && limit > 0 ? find_overflow (self->model, self->text, limit) : -1;
  g_task_return_int (task, (gssize) n);
}

void
zis_session_count_tokens_async (ZisSession *self, const char *text, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr(GTask) task = g_task_new (self, cancellable, callback, user_data);
  Counting *counting;

  g_task_set_source_tag (task, zis_session_count_tokens_async);
  if (!self->model)
    {
      g_task_return_new_error (task, ZIE_ERROR, ZIE_ERROR_FILE_NOT_FOUND, "no model is open");
      return;
    }

  counting = g_new0 (Counting, 1);
  counting->model = zie_model_ref (self->model);
  counting->text = g_strdup (text);
  counting->overflow_at = -1;
  g_task_set_task_data (task, counting, counting_free);
  g_task_run_in_thread (task, count_thread);
}

int
zis_session_count_tokens_finish (ZisSession *self, GAsyncResult *result, int *overflow_at, GError **error)
{
  Counting *counting = g_task_get_task_data (G_TASK (result));
  int n = (int) g_task_propagate_int (G_TASK (result), error);

  *overflow_at = counting && n >= 0 ? counting->overflow_at : -1;
  return n;
}
