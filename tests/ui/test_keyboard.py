# SPDX-License-Identifier: Apache-2.0
"""Everything without a mouse."""
import os
import studio as s
from studio import ui, check

s.demo_model()
app = s.start()
s.make(app, 'a cat')
s.make(app, 'a dog')

# Every control can be reached with Tab, and Tab comes round.
def focused():
    return next(((a.role, a.name) for a in app.root().walk() if a.was('focused')), None)
seen, first = [], None
ui.key('ctrl+l')
for i in range(60):
    ui.key('ctrl+Tab' if (focused() or ('', ''))[1].startswith('Prompt') else 'Tab')
    f = focused()
    if f and f == first and i > 5: break
    first = first or f
    if f and f not in seen: seen.append(f)
names = ' | '.join(n for _, n in seen)
for wanted in ('Seed', 'Generate', 'New Random Seed', 'Main Menu', 'Save As', '256 × 256'):
    check(wanted in names, 'Tab reaches “%s”' % wanted)
order = ['256 × 256', 'Seed', 'New Random Seed', 'Advanced', 'Memory', 'Generate', 'Save As', 'Main Menu', 'Picture: ', 'Fit', 'a cat']
places = [next(i for i, (_, name) in enumerate(seen) if wanted in name) for wanted in order]
check(places == sorted(places), 'in the order in which they stand: %s' % ', '.join(order))

ui.key('ctrl+1'); app.find('button', '100 %')
ui.key('ctrl+0'); app.find('button', '^Fit')
ui.key('ctrl+b')
check(any(s.is_pressed(a) for a in app.all(None, 'Compare with')), 'Ctrl+B compares')
ui.key('ctrl+b')
ui.key('alt+Right'); app.find('image', '^Picture: a cat', 10)
ui.key('alt+Left'); app.find('image', '^Picture: a dog', 10)
check(True, 'Alt+Left and Alt+Right go through the pictures')
old = s.seed(app); ui.key('ctrl+d')
s.make(app, 'a dog')
check(s.seed(app) != old, 'Ctrl+D throws another seed')

# Copied: the very picture is what another program gets.
ui.key('ctrl+shift+c'); s.told(app, 'Picture copied', s.clipboard)
pasted = os.path.join(os.environ['HOME'], 'pasted.png')
with open(pasted, 'wb') as f: f.write(s.clipboard())
def is_pasted(): return ui.subprocess.run(['compare', '-metric', 'AE', pasted, s.newest_picture(), 'null:'], stderr=ui.subprocess.DEVNULL).returncode == 0
check(ui.wait(is_pasted, 10, 'the picture that was kept to be the one that was pasted'), 'a copied picture can be pasted elsewhere, as it is')

ui.key('ctrl+question'); app.find(None, 'Show or hide the panel', 10)
check(True, 'the shortcuts window opens'); ui.key('Escape')
def panel_shows():                     # asked of its button: a folded panel stays "visible" for GTK 4.8
    return s.is_pressed(app.find(None, '^Show the Panel$'))
check(panel_shows(), 'the panel shows at first')
ui.key('F9'); ui.wait(lambda: not panel_shows(), 5, 'the panel to go')
ui.key('F9'); ui.wait(panel_shows, 5, 'the panel to come back')
check(True, 'F9 hides and shows the panel')
ui.key('F10')
ui.wait(lambda: len(app.all('menu item')) > 5, 10, 'the menu')        # whose items have no names in GTK 4.18
check(True, 'F10 opens the menu'); ui.key('Escape')
s.end(app)
