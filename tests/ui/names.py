# SPDX-License-Identifier: Apache-2.0
"""Every control has a name for a screen reader: looked at wherever a test has brought the window into another state."""
from studio import ui, check

CONTROLS = ('push button', 'button', 'toggle button', 'text', 'entry', 'text box', 'spin button', 'check box', 'switch',
            'combo box', 'progress bar', 'image', 'menu button', 'list item')
# What GTK itself builds and names on its own terms, or hides behind a control that has a name.
NO_NAME = ('GtkButton', 'GtkMenuButton', 'GtkToggleButton', 'GtkImage', 'GtkPicture', 'GtkEntry', 'GtkText', 'GtkTextView',
           'GtkSpinButton', 'GtkSwitch', 'GtkDrawingArea', 'GtkProgressBar', 'GtkListItemWidget', '')
# What needs a name also within a row that has one.
OWN_NAME = ('push button', 'button', 'toggle button', 'spin button', 'check box', 'switch', 'menu button', 'progress bar')

def gtk(app):
    """the version: (4, 8)"""
    return tuple(map(int, app.root().get('Application', 'Version').split('.')[:2]))

def nameless(app):
    """those without a name, and how many were looked at"""
    found, n_seen = [], 0
    def go(a, path, inside_named):
        nonlocal n_seen
        role, name = a.role, a.name
        if name == 'AdwViewSwitcher': return  # libadwaita's tabs: their icons are decoration
        if not ui.shown(a): return            # GTK 4.8 says only of windows that they are showing
        n_seen += role in CONTROLS
        here = path + '/' + (name or role)
        has = name not in NO_NAME
        # An image within a named control is decoration; so is the text inside a spin button.  What has no place is not there.
        # A row that unfolds is libadwaita's, around the row that has the name and the focus.
        if role == 'list item' and any(k.role == role and k.name for k in a.walk()): has = True
        if 'button' in role and '_' in name: found.append('%r says its access key' % name)
        if role in CONTROLS and not has and (role in OWN_NAME or not inside_named) and min(a.extents()[2:]) > 0: found.append('%s %r at %s' % (role, name, here))
        for c in a.kids: go(c, here, inside_named or (has and role in CONTROLS))
    for window in app.root().kids: go(window, '', False)
    return found, n_seen

def look(app, state):
    bad, n_seen = nameless(app)
    check(n_seen > 10 and not bad, 'each of %d controls has a name: %s %s' % (n_seen, state, bad))
