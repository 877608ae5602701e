# SPDX-License-Identifier: Apache-2.0
"""Pictures of the main states, for the README and for looking at: empty, generating, done, queue, plan, preferences,
compare, narrow, dark.  usage: ui-session.sh -o OUT /usr/bin/python3 tests/ui/screenshots.py PROGRAM
The README's (data/screenshots) are made with -g 1000x700x24 and GTK 4.18: the window then fills the screen."""
import os
import studio as s
from studio import ui

TITLE = 'Z-Image Studio$'

def window(): return ui._x('search', '--onlyvisible', '--name', TITLE).stdout.split()[-1]

def settle(): ui.time.sleep(.8)

def shoot(name):
    """the screen where the window is, with its popovers and dialogs"""
    settle()
    g = dict(l.split('=') for l in ui._x('getwindowgeometry', '--shell', window()).stdout.split() if '=' in l)
    path = ui.screenshot(name + '.png')
    ui.subprocess.run(['mogrify', '-crop', '%sx%s+%s+%s' % (g['WIDTH'], g['HEIGHT'], g['X'], g['Y']), '+repage', path], check=True)

def pointer_away(): ui._x('mousemove', '0', '0')

def start(**keys):
    s.settings(last_model="'%s'" % os.path.realpath(model), seed='uint64 7', seed_locked='true', window_width=980, window_height=660,
               width=256, height=256, **keys)
    app = s.start(env=s.KEYFILE)
    s.tokens(app); pointer_away()
    return app

model = s.demo_model()
app = start()
shoot('empty')
s.end(app)

app = start(prompt="'左边是汽车,右边是自行车'")      # what the keyboard of the test has no keys for
s.generate(app)
for text in ('a panda on a yellow background', 'a rocket to the right of a cat', 'a tiger above a banana', 'a red apple on a blue background'):
    s.make(app, text)
shoot('done')
ui.key('ctrl+b'); shoot('compare'); ui.key('ctrl+b')
ui.key('ctrl+m'); shoot('plan'); ui.key('Escape')
ui.key('ctrl+comma'); shoot('preferences'); ui.key('Escape')
ui.resize(app, 370, 660); shoot('narrow')
ui.key('F9'); shoot('narrow-panel')
s.end(app)

app = start(prompt="'a fox on a green background'", steps=60)
for _ in range(3): ui.key('ctrl+Return')
app.wait_text(r'Step (6|7|8|9|1\d) of', 30); shoot('generating')
ui.key('ctrl+j'); shoot('queue')
ui.click(app.find('button', 'Cancel _?All')); ui.key('Escape')
app.gone('button', '^_?Cancel', 10)
s.end(app)

app = start(style="'dark'", prompt="'a blue whale'")
s.make(app, 'a hot air balloon on an orange background')
shoot('dark')
s.end(app)
