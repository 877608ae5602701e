/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib/gi18n.h>
#include <gtk/gtk.h>
#include <zie/zie.h>

G_BEGIN_DECLS

#define ZIS_APP_ID "com.example.ZImageStudio"
#define ZIS_RESOURCE_PATH "/com/example/ZImageStudio"

typedef struct _ZisApplication ZisApplication;
typedef struct _ZisWindow ZisWindow;
typedef struct _ZisSession ZisSession;
typedef struct _ZisRecipe ZisRecipe;
typedef struct _ZisJob ZisJob;
typedef struct _ZisQueue ZisQueue;
typedef struct _ZisPaintable ZisPaintable;
typedef struct _ZisPicture ZisPicture;

G_END_DECLS
