# SPDX-License-Identifier: Apache-2.0
"""Pictures of the main states, for the README and for looking at: empty, generating, done, queue, plan, preferences,
narrow, dark.  usage: ui-session.sh -o OUT /usr/bin/python3 tests/ui/screenshots.py PROGRAM"""
import os, time
import studio as s
from studio import ui

TITLE = 'Z-Image Studio'

def settle(): time.sleep(.8)

def shoot(name):
    settle(); ui.screenshot(name + '.png', TITLE + '$')

def resize(width, height):
    window = ui._x('search', '--onlyvisible', '--name', TITLE).stdout.split()[-1]
    ui._x('windowsize', '--sync', window, str(width), str(height)); settle()

s.demo_model()
app = s.start()
s.tokens(app)
shoot('empty')
s.make(app, 'a red apple on a blue background')
s.make(app, 'a panda on a yellow background')
s.make(app, 'a rocket to the right of a cat')
s.make(app, 'a yellow star on a purple background')
ui.subprocess.run(['xdotool', 'mousemove', '5', '5'])
shoot('done')
s.write_prompt(app, 'a fox on a green background')
s.set_value(app, 'Steps', 60)
for _ in range(3): ui.key('ctrl+Return')
time.sleep(1.5); ui.screenshot('generating.png', TITLE + '$')
ui.key('ctrl+j'); settle(); ui.screenshot('queue.png')
ui.key('Escape'); ui.key('ctrl+j')
ui.click(app.find('button', 'Cancel _?All')); ui.key('Escape')
s.set_value(app, 'Steps', 8)
ui.key('ctrl+m'); settle(); ui.screenshot('plan.png'); ui.key('Escape')
ui.key('ctrl+comma'); settle(); ui.screenshot('preferences.png'); ui.key('Escape')
ui.key('ctrl+b'); shoot('compare'); ui.key('ctrl+b')
resize(360, 700); shoot('narrow')
ui.key('F9'); shoot('narrow-panel')
s.end(app)

folder = os.path.join(os.environ['XDG_CONFIG_HOME'], 'glib-2.0', 'settings'); os.makedirs(folder, exist_ok=True)
open(os.path.join(folder, 'keyfile'), 'w').write("[com/example/ZImageStudio]\nstyle='dark'\nprompt='a blue whale'\n")
app = s.start(env={'GSETTINGS_BACKEND': 'keyfile'})
s.tokens(app)
s.make(app, 'a hot air balloon on an orange background')
ui.subprocess.run(['xdotool', 'mousemove', '5', '5'])
shoot('dark')
s.end(app)
