/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <adwaita.h>

#include "zis-types.h"

G_BEGIN_DECLS

/* Everything that differs between GTK 4.8 / libadwaita 1.2 and GTK 4.18 / libadwaita 1.7. */

/* The window's outer frame: split view and header bars. */
#if ADW_CHECK_VERSION (1, 4, 0)
#define ZIS_COMPAT_FRAME ZIS_RESOURCE_PATH "/zis-window-1.4.ui"
#define ZIS_COMPAT_SPLIT_SHOWN "show-sidebar"
#define ZIS_COMPAT_SPLIT_COLLAPSED "collapsed"
#else
#define ZIS_COMPAT_FRAME ZIS_RESOURCE_PATH "/zis-window-1.2.ui"
#define ZIS_COMPAT_SPLIT_SHOWN "reveal-flap"
#define ZIS_COMPAT_SPLIT_COLLAPSED "folded"
#endif

void zis_compat_get_color (GtkWidget *widget, GdkRGBA *color);
/* What a screen reader says for a widget, whatever stands on it.  After gtk_button_set_label(), which takes it back. */
void zis_compat_set_name (GtkWidget *widget, const char *name);
/* Once for all below ROOT: the button within a menu button gets its name, and GTK 4.8, which has a screen reader say the labels of
 * buttons with their underscores, and once more without, those without. */
void zis_compat_name_buttons (GtkWidget *root);
/* Has a screen reader say TEXT (translated) now; from GTK 4.14 on, before that nothing does. */
void zis_compat_say (GtkWidget *widget, const char *text);
/* Has a screen reader say TEXT of ALERT, a shown widget whose role is that; with GTK 4.8 the role alone has to do. */
void zis_compat_announce (GtkWidget *alert, const char *text);
/* CHILD (floating), of which a screen reader says TEXT by itself as soon as it is seen. */
GtkWidget *zis_compat_alert_new (GtkWidget *child, const char *text);
/* What a screen reader says for a row of a list view. */
void zis_compat_list_item_set_label (GtkListItem *item, const char *label);

/* A file or folder chosen by the user.  FILE is NULL when they thought better of it. */
typedef void (*ZisCompatFileFunc) (GFile *file, gpointer user_data);

typedef struct
{
  const char *name;          /* translated */
  const char *suffix;        /* "png" */
} ZisCompatFilter;

void zis_compat_open_file (GtkWindow *parent, const char *title, const ZisCompatFilter *filters, guint n_filters,
                           GFile *folder, ZisCompatFileFunc done, gpointer user_data);
void zis_compat_save_file (GtkWindow *parent, const char *title, const char *name, const ZisCompatFilter *filters,
                           guint n_filters, GFile *folder, ZisCompatFileFunc done, gpointer user_data);
void zis_compat_choose_folder (GtkWindow *parent, const char *title, GFile *folder, ZisCompatFileFunc done,
                               gpointer user_data);

/* A question with answers.  DONE gets the id of the answer; closing gives the first one's id. */
typedef struct
{
  const char *id;
  const char *label;         /* translated, with mnemonic */
  AdwResponseAppearance appearance;
} ZisCompatAnswer;
typedef void (*ZisCompatAnswerFunc) (const char *id, gpointer user_data);

void zis_compat_ask (GtkWindow *parent, const char *heading, const char *body, const ZisCompatAnswer *answers,
                     guint n_answers, ZisCompatAnswerFunc done, gpointer user_data);

void zis_compat_show_about (GtkWindow *parent);
/* Shows PAGE (floating) as the preferences, or under TITLE (translated; NULL: Preferences).  Closing frees it. */
void zis_compat_show_preferences (GtkWindow *parent, const char *title, AdwPreferencesPage *page);

/* Opens FILE's folder in the file manager, FILE selected where the desktop can. */
/* Whether a dialog inside WINDOW is open (from libadwaita 1.5 on they are; before they were windows). */
gboolean zis_compat_has_dialog (AdwApplicationWindow *window);

void zis_compat_show_in_folder (GtkWindow *parent, GFile *file);

G_END_DECLS
