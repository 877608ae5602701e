/* SPDX-License-Identifier: Apache-2.0 */
#define G_LOG_DOMAIN "zis-gallery"

#include "zis-gallery.h"

#include "zis-compat.h"

#define THUMB_SIZE 72

struct _ZisGallery
{
  GtkWidget parent_instance;

  GtkScrolledWindow *scroller;
  GtkListView *list;
  GMenuModel *menu;
  GtkSingleSelection *selection;   /* owned */
  GPtrArray *items;          /* owned array of borrowed GtkListItems: those that show a picture */
  GtkPopover *popover;       /* owned as a child */
  gboolean is_selecting;     /* the program selects, not the user */
  gpointer last;             /* not owned, only compared: the item selected before */
};

enum
{
  SIGNAL_CHOSEN,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (ZisGallery, zis_gallery, GTK_TYPE_WIDGET)

/* --- rows --------------------------------------------------------------------------------------------------- */

static void
show_menu (ZisGallery *self, GtkWidget *over, double x, double y)
{
  graphene_point_t at;

  if (!gtk_widget_compute_point (over, GTK_WIDGET (self), &GRAPHENE_POINT_INIT ((float) x, (float) y), &at))
    return;

  gtk_popover_set_pointing_to (self->popover, &(GdkRectangle) { (int) at.x, (int) at.y, 1, 1 });
  gtk_popover_popup (self->popover);
}

static void
on_secondary_click (GtkGestureClick *gesture, int n_press, double x, double y, gpointer user_data)
{
  GtkListItem *item = user_data;
  GtkWidget *widget = gtk_event_controller_get_widget (GTK_EVENT_CONTROLLER (gesture));
  ZisGallery *self = ZIS_GALLERY (gtk_widget_get_ancestor (widget, ZIS_TYPE_GALLERY));

  gtk_single_selection_set_selected (self->selection, gtk_list_item_get_position (item));
  show_menu (self, widget, x, y);
}

static GdkContentProvider *
on_drag_prepare (GtkDragSource *source, double x, double y, gpointer user_data)
{
  GtkListItem *item = user_data;
  ZisPicture *picture = gtk_list_item_get_item (item);

  if (!picture || !zis_picture_is_saved (picture))
    return NULL;

  return gdk_content_provider_new_typed (G_TYPE_FILE, zis_picture_get_file (picture));
}

static void
on_item_setup (GtkSignalListItemFactory *factory, GtkListItem *item, gpointer user_data)
{
  GtkWidget *picture = gtk_image_new ();
  GtkGesture *click = gtk_gesture_click_new ();
  GtkDragSource *drag = gtk_drag_source_new ();

  gtk_image_set_pixel_size (GTK_IMAGE (picture), THUMB_SIZE);
  gtk_widget_set_valign (picture, GTK_ALIGN_CENTER);
  gtk_widget_set_overflow (picture, GTK_OVERFLOW_HIDDEN);
  gtk_widget_add_css_class (picture, "thumbnail");
  gtk_list_item_set_child (item, picture);

  gtk_gesture_single_set_button (GTK_GESTURE_SINGLE (click), GDK_BUTTON_SECONDARY);
  g_signal_connect (click, "pressed", G_CALLBACK (on_secondary_click), item);
  gtk_widget_add_controller (picture, GTK_EVENT_CONTROLLER (click));

  g_signal_connect (drag, "prepare", G_CALLBACK (on_drag_prepare), item);
  gtk_widget_add_controller (picture, GTK_EVENT_CONTROLLER (drag));
}

static void
update_item (GtkListItem *item)
{
  ZisPicture *picture = gtk_list_item_get_item (item);
  GtkWidget *child = gtk_list_item_get_child (item);
  g_autoptr(GdkTexture) thumbnail = NULL;

  if (!picture || !child)
    return;

  g_object_get (picture, "thumbnail", &thumbnail, NULL);
  gtk_image_set_from_paintable (GTK_IMAGE (child), GDK_PAINTABLE (thumbnail));
  gtk_widget_set_tooltip_text (child, zis_picture_get_title (picture));
  gtk_accessible_update_property (GTK_ACCESSIBLE (child), GTK_ACCESSIBLE_PROPERTY_LABEL, zis_picture_get_title (picture), -1);
  zis_compat_list_item_set_label (item, zis_picture_get_title (picture));
}

/* A list view makes rows for some two hundred pictures; thumbnails are for those that are seen, and half a page to
 * each side for who scrolls. */
static void
update_wish (ZisGallery *self, GtkListItem *item)
{
  GtkAdjustment *adjustment = gtk_scrolled_window_get_hadjustment (self->scroller);
  double page = gtk_adjustment_get_page_size (adjustment), at = gtk_adjustment_get_value (adjustment);
  guint n = MAX (1, g_list_model_get_n_items (G_LIST_MODEL (self->selection)));
  double width = MAX (THUMB_SIZE, gtk_adjustment_get_upper (adjustment) / n), x = gtk_list_item_get_position (item) * width;

  if (x + width >= at - page / 2 && x <= at + page * 3 / 2)
    zis_picture_want_thumbnail (gtk_list_item_get_item (item));
  else
    zis_picture_drop_thumbnail (gtk_list_item_get_item (item));
}

static void
update_wishes (ZisGallery *self)
{
  for (guint i = 0; i < self->items->len; i++)
    update_wish (self, g_ptr_array_index (self->items, i));
}

static void
on_item_bind (GtkSignalListItemFactory *factory, GtkListItem *item, gpointer user_data)
{
  ZisGallery *self = user_data;
  ZisPicture *picture = gtk_list_item_get_item (item);

  g_ptr_array_add (self->items, item);
  g_signal_connect_swapped (picture, "notify::thumbnail", G_CALLBACK (update_item), item);
  g_signal_connect_swapped (picture, "notify::title", G_CALLBACK (update_item), item);
  update_wish (self, item);
  update_item (item);
}

static void
on_item_unbind (GtkSignalListItemFactory *factory, GtkListItem *item, gpointer user_data)
{
  ZisGallery *self = user_data;
  ZisPicture *picture = gtk_list_item_get_item (item);

  g_ptr_array_remove_fast (self->items, item);
  g_signal_handlers_disconnect_by_data (picture, item);
  zis_picture_drop_thumbnail (picture);
}

/* --- selection ---------------------------------------------------------------------------------------------- */

static void
on_selected (ZisGallery *self)
{
  ZisPicture *picture = zis_gallery_get_selected (self);
  /* A new picture in front moves the selected one: another position, the same choice. */
  gboolean is_other = picture != self->last;

  self->last = picture;
  if (picture && is_other && !self->is_selecting)
    g_signal_emit (self, signals[SIGNAL_CHOSEN], 0, picture);
}

static void
on_activated (GtkListView *list, guint position, gpointer user_data)
{
  ZisPicture *picture = zis_gallery_get_selected (user_data);

  if (picture)
    g_signal_emit (user_data, signals[SIGNAL_CHOSEN], 0, picture);
}

static gboolean
on_menu_key (GtkWidget *widget, GVariant *args, gpointer unused)
{
  ZisGallery *self = ZIS_GALLERY (widget);

  if (!zis_gallery_get_selected (self))
    return GDK_EVENT_PROPAGATE;

  show_menu (self, widget, gtk_widget_get_width (widget) / 2.0, 0);
  return GDK_EVENT_STOP;
}

ZisPicture *
zis_gallery_get_selected (ZisGallery *self)
{
  return gtk_single_selection_get_selected_item (self->selection);
}

void
zis_gallery_select (ZisGallery *self, ZisPicture *picture)
{
  guint n = g_list_model_get_n_items (G_LIST_MODEL (self->selection));
  guint position = GTK_INVALID_LIST_POSITION;

  for (guint i = 0; picture && i < n && position == GTK_INVALID_LIST_POSITION; i++)
    {
      g_autoptr(ZisPicture) one = g_list_model_get_item (G_LIST_MODEL (self->selection), i);

      if (one == picture)
        position = i;
    }

  self->is_selecting = TRUE;
  gtk_single_selection_set_selected (self->selection, position);
  self->is_selecting = FALSE;

  if (position == 0)
    gtk_adjustment_set_value (gtk_scrolled_window_get_hadjustment (self->scroller), 0);
}

/* --- object ------------------------------------------------------------------------------------------------- */

static void
zis_gallery_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  GTK_WIDGET_CLASS (zis_gallery_parent_class)->size_allocate (widget, width, height, baseline);
  gtk_popover_present (ZIS_GALLERY (widget)->popover);
}

static void
zis_gallery_dispose (GObject *object)
{
  ZisGallery *self = ZIS_GALLERY (object);
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self))) != NULL)
    gtk_widget_unparent (child);
  g_clear_object (&self->selection);
  g_clear_pointer (&self->items, g_ptr_array_unref);

  G_OBJECT_CLASS (zis_gallery_parent_class)->dispose (object);
}

static void
zis_gallery_class_init (ZisGalleryClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = zis_gallery_dispose;
  widget_class->size_allocate = zis_gallery_size_allocate;
  gtk_widget_class_set_template_from_resource (widget_class, ZIS_RESOURCE_PATH "/zis-gallery.ui");
  gtk_widget_class_bind_template_child (widget_class, ZisGallery, scroller);
  gtk_widget_class_bind_template_child (widget_class, ZisGallery, list);
  gtk_widget_class_bind_template_child (widget_class, ZisGallery, menu);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_Menu, 0, on_menu_key, NULL);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_F10, GDK_SHIFT_MASK, on_menu_key, NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Delete, 0, "win.trash", NULL);

  signals[SIGNAL_CHOSEN] = g_signal_new ("chosen", ZIS_TYPE_GALLERY, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1,
                                         ZIS_TYPE_PICTURE);
}

static void
zis_gallery_init (ZisGallery *self)
{
  GtkListItemFactory *factory = gtk_signal_list_item_factory_new ();

  gtk_widget_init_template (GTK_WIDGET (self));
  self->items = g_ptr_array_new ();
  g_signal_connect (factory, "setup", G_CALLBACK (on_item_setup), self);
  g_signal_connect (factory, "bind", G_CALLBACK (on_item_bind), self);
  g_signal_connect (factory, "unbind", G_CALLBACK (on_item_unbind), self);
  gtk_list_view_set_factory (self->list, factory);
  g_object_unref (factory);
  g_signal_connect (self->list, "activate", G_CALLBACK (on_activated), self);

  self->popover = GTK_POPOVER (gtk_popover_menu_new_from_model (self->menu));
  gtk_popover_set_has_arrow (self->popover, FALSE);
  gtk_widget_set_halign (GTK_WIDGET (self->popover), GTK_ALIGN_START);
  gtk_widget_set_parent (GTK_WIDGET (self->popover), GTK_WIDGET (self));
}

void
zis_gallery_setup (ZisGallery *self, ZisGalleryModel *model)
{
  GtkAdjustment *adjustment = gtk_scrolled_window_get_hadjustment (self->scroller);

  self->selection = gtk_single_selection_new (G_LIST_MODEL (g_object_ref (model)));
  gtk_single_selection_set_autoselect (self->selection, FALSE);
  gtk_single_selection_set_can_unselect (self->selection, TRUE);
  gtk_list_view_set_model (self->list, GTK_SELECTION_MODEL (self->selection));
  g_signal_connect_object (self->selection, "notify::selected", G_CALLBACK (on_selected), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (adjustment, "changed", G_CALLBACK (update_wishes), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (adjustment, "value-changed", G_CALLBACK (update_wishes), self, G_CONNECT_SWAPPED);
}
