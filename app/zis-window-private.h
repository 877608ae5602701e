/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zis-window.h"

#include "zis-canvas.h"
#include "zis-error-text.h"
#include "zis-gallery.h"
#include "zis-memory-bar.h"
#include "zis-parameter-panel.h"
#include "zis-prompt-panel.h"

G_BEGIN_DECLS

struct _ZisWindow
{
  AdwApplicationWindow parent_instance;

  /* The frame. */
  GtkWidget *split;
  AdwToastOverlay *toasts;
  AdwHeaderBar *panel_header, *header;
  AdwBin *panel_slot, *stage_slot;

  /* The content, from zis-content.ui; borrowed from the widget tree. */
  ZisPromptPanel *prompt_panel;
  ZisParameterPanel *parameter_panel;
  ZisMemoryBar *memory_bar;
  ZisCanvas *canvas;
  ZisGallery *gallery;
  AdwWindowTitle *title;
  AdwStatusPage *empty_page, *problem_page;
  AdwButtonContent *queue_content;
  GtkStack *stack;
  GtkRevealer *notice_revealer, *progress_revealer, *strip_revealer;
  GtkLabel *notice_title, *notice_body, *progress_label;
  GtkProgressBar *progress_bar;
  GtkButton *notice_button, *problem_button, *zoom_button;
  GtkWidget *panel_button, *panel_close_button, *queue_button, *compare_button, *follow_button, *cancel_button, *zoom_box, *examples, *notice_content;
  GtkListBox *queue_list;

  GSettings *settings;       /* owned */
  ZisSession *session;       /* owned */
  ZisRecipe *recipe;         /* owned */
  ZisGalleryModel *pictures; /* owned */

  ZisPicture *shown;         /* owned or NULL: the finished picture on the canvas */
  ZisJob *job;               /* owned or NULL: the job whose progress is shown */
  gboolean is_following;     /* the canvas shows the job, not an earlier picture */
  GCancellable *loading;     /* owned or NULL: of the picture to be shown */
  GCancellable *cancellable; /* owned: the window's life */
  ZisPaintable *complete;    /* owned or NULL: the last finished picture that was on the canvas */
  ZisPaintable *before;      /* owned or NULL: the one before it */
  AdwToast *toast;           /* owned or NULL: the newest */
  gint64 toast_us;           /* since when it is there */
  ZieRequest failed;         /* owned: what the notice's buttons try again */
  gboolean has_failed, notice_is_of_saving;
  gboolean is_opened;        /* model and folder were asked for */
  guint n_exports;           /* pictures on their way to where the user wants them */
  gboolean is_in_background; /* closed, finishing its work */
};

/* zis-window.c */
gboolean zis_window_is_narrow (ZisWindow *self);
void zis_window_show_panel (ZisWindow *self, gboolean shown);
void zis_window_toast (ZisWindow *self, const char *text, const char *button, const char *action);
void zis_window_show_error (ZisWindow *self, const GError *error, ZisErrorContext context);
/* The request that the error shown is about: what its buttons try again.  NULL: of none. */
void zis_window_set_failed (ZisWindow *self, const ZieRequest *request);
void zis_window_close_notice (ZisWindow *self);
/* The same where something new begins: not while there is a picture that could not be saved. */
void zis_window_close_old_notice (ZisWindow *self);

/* zis-window-stage.c: what is on the canvas, and what is said of it */
void zis_window_set_canvas (ZisWindow *self, ZisPaintable *paintable, const char *title);
void zis_window_update_page (ZisWindow *self);
void zis_window_update_progress (ZisWindow *self);
void zis_window_show_picture (ZisWindow *self, ZisPicture *picture);
/* The canvas shows what is being made. */
void zis_window_follow (ZisWindow *self);
/* Nothing of the job is to be seen any more: back to the last finished picture. */
void zis_window_leave_job (ZisWindow *self);

/* zis-window-jobs.c: what the session's jobs change in the window */
void zis_window_setup_jobs (ZisWindow *self);
void zis_window_follow_job (ZisWindow *self, ZisJob *job /* or NULL */);

/* zis-window-close.c: closing, at once or when everything is done */
gboolean zis_window_close_request (GtkWindow *window);
/* Ends the window if it is in the background and nothing is left to do. */
void zis_window_leave_if_idle (ZisWindow *self);
/* Shows it again if it is in the background: somebody has to be told something. */
void zis_window_come_back (ZisWindow *self);

/* zis-window-actions.c */
void zis_window_install_actions (GtkWidgetClass *widget_class);
void zis_window_update_actions (ZisWindow *self);

/* zis-window-report.c: the action "win.save-report" */
void zis_window_save_report (GtkWidget *widget, const char *name, GVariant *parameter);

/* zis-window-dnd.c */
void zis_window_setup_dnd (ZisWindow *self);

G_END_DECLS
