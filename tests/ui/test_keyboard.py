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

# Pictures that wait are put in another order.
s.set_value(app, 'Steps', 100)
for text in ('a cat', 'a fox', 'a frog', 'a whale'):
    s.write_prompt(app, text); ui.key('ctrl+Return')
app.find(None, '^4 pictures to make', 10)
ui.key('ctrl+j')
def queue(): return [a.name for a in app.find('list', '^Waiting Pictures$').walk() if a.role == 'list item']
check(queue() == ['a cat', 'a fox', 'a frog', 'a whale'], 'pictures wait in the order in which they were asked for')
def is_at_last():
    return focused() == ('list item', 'a whale') or ui.key('Down')
ui.wait(is_at_last, 10, 'the last row to have the focus')
ui.key('alt+Up')
ui.wait(lambda: queue() != ['a cat', 'a fox', 'a frog', 'a whale'], 10, 'another order')
check(queue() == ['a cat', 'a fox', 'a whale', 'a frog'], 'Alt+Up moves the last one up: %s' % ', '.join(queue()))
ui.click(app.find('button', 'Cancel _?All')); ui.key('Escape')
app.gone('button', '^_?Cancel', 10)

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
