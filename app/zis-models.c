/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-models"

#include "zis-models.h"

#include <zie/zie-model.h>

struct _ZisModels
{
  GObject parent_instance;

  ZieCatalogue *catalogue;   /* owned or NULL */
  GError *error;             /* owned or NULL */
  GPtrArray *downloads;      /* owned */
  char *folder;              /* owned */
};

enum
{
  SIGNAL_INSTALLED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (ZisModels, zis_models, G_TYPE_OBJECT)

static void
on_done (ZisDownload *download, gpointer user_data)
{
  g_signal_emit (user_data, signals[SIGNAL_INSTALLED], 0, download);
}

const GError *
zis_models_get_error (ZisModels *self)
{
  return self->error;
}

guint
zis_models_get_n (ZisModels *self)
{
  return self->downloads->len;
}

ZisDownload *
zis_models_get (ZisModels *self, guint index)
{
  return self->downloads->pdata[index];
}

const char *
zis_models_get_folder (ZisModels *self)
{
  return self->folder;
}

void
zis_models_refresh (ZisModels *self)
{
  for (guint i = 0; i < self->downloads->len; i++)
    zis_download_refresh (self->downloads->pdata[i]);
}

static void
zis_models_dispose (GObject *object)
{
  ZisModels *self = ZIS_MODELS (object);

  g_clear_pointer (&self->downloads, g_ptr_array_unref);      /* they borrow from the catalogue */
  g_clear_pointer (&self->catalogue, zie_catalogue_free);
  g_clear_pointer (&self->folder, g_free);
  g_clear_error (&self->error);

  G_OBJECT_CLASS (zis_models_parent_class)->dispose (object);
}

static void
zis_models_class_init (ZisModelsClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = zis_models_dispose;

  signals[SIGNAL_INSTALLED] = g_signal_new ("installed", ZIS_TYPE_MODELS, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1,
                                            ZIS_TYPE_DOWNLOAD);
}

static void
zis_models_init (ZisModels *self)
{
  self->downloads = g_ptr_array_new_with_free_func (g_object_unref);
}

static void
add (ZisModels *self, const ZieHubModel *model, GSettings *settings)
{
  ZisDownload *download = zis_download_new (model, self->folder, settings);

  g_signal_connect_object (download, "done", G_CALLBACK (on_done), self, 0);
  g_ptr_array_insert (self->downloads, model->is_recommended ? 0 : -1, download);
}

ZisModels *
zis_models_new (GSettings *settings)
{
  ZisModels *self = g_object_new (ZIS_TYPE_MODELS, NULL);

  self->folder = zie_model_get_folder ();
  self->catalogue = zie_catalogue_load (NULL, &self->error);
  for (guint i = 0; self->catalogue && i < zie_catalogue_get_n (self->catalogue); i++)
    add (self, zie_catalogue_get (self->catalogue, i), settings);

  return self;
}
