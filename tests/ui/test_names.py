# SPDX-License-Identifier: Apache-2.0
"""Every control has a name for a screen reader, in every state of the window."""
import studio as s
from studio import ui, check

CONTROLS = ('push button', 'button', 'toggle button', 'text', 'entry', 'text box', 'spin button', 'check box', 'switch',
            'combo box', 'progress bar', 'image', 'menu button', 'list item')
# What GTK itself builds and names on its own terms, or hides behind a control that has a name.
NO_NAME = ('GtkButton', 'GtkMenuButton', 'GtkToggleButton', 'GtkImage', 'GtkPicture', 'GtkEntry', 'GtkText', 'GtkTextView',
           'GtkSpinButton', 'GtkSwitch', 'GtkDrawingArea', 'GtkProgressBar', 'GtkListItemWidget', '')

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
        if role in CONTROLS and not has and not inside_named and min(a.extents()[2:]) > 0: found.append('%s %r at %s' % (role, name, here))
        for c in a.kids: go(c, here, inside_named or (has and role in CONTROLS))
    for window in app.root().kids: go(window, '', False)
    return found, n_seen

def look(app, state):
    bad, n_seen = nameless(app)
    check(n_seen > 10 and not bad, 'each of %d controls has a name: %s %s' % (n_seen, state, bad))

s.demo_model()
app = s.start()
s.tokens(app)
look(app, 'empty')
for row in ('Advanced', 'Custom Size'): s.unfold(app, row)
look(app, 'expanded')
s.write_prompt(app, 'a red apple')
ui.key('ctrl+Return'); app.find('button', '^_?Cancel', 20)
look(app, 'generating')
s.wait_done(app)
look(app, 'done')
gtk = app.root().get('Application', 'Version')
if tuple(map(int, gtk.split('.')[:2])) >= (4, 14):      # earlier ones cannot
    said = []
    ui.wait(lambda: said.extend(ui.reader.announcements()) or said, 10, 'an announcement')
    check(said == ['Your picture is ready'], 'a screen reader says that it is ready, and no steps: %s' % said)
ui.key('ctrl+m'); app.wait_text('This picture takes', 10)
look(app, 'plan')
ui.key('Escape')
ui.key('ctrl+comma'); app.find(None, 'Memory Limit', 10)
look(app, 'preferences')
ui.key('Escape')
s.set_value(app, 'Steps', 40)
ui.resize(app, 370, 640)                    # 360 without the frame; what does not fit there is a warning, and those are fatal
for _ in range(3): ui.key('ctrl+Return')
app.find(None, '[23] pictures to make', 10)
look(app, 'narrow, generating')
ui.key('F9'); ui.time.sleep(.5)
look(app, 'narrow, the panel')
ui.key('F9'); ui.key('ctrl+j')
ui.click(app.find('button', 'Cancel _?All'))
app.gone('button', '^_?Cancel', 10)
s.end(app)
