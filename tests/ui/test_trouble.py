# SPDX-License-Identifier: Apache-2.0
"""Failures are sentences with a way out."""
import os, subprocess
import studio as s
from studio import ui, check

model = s.demo_model()
broken = os.path.join(os.environ['HOME'], 'broken'); os.mkdir(broken)
open(os.path.join(broken, 'model_index.json'), 'w').write('{"_class_name": "ZImage')

def model_setting(path):
    folder = os.path.join(os.environ['XDG_CONFIG_HOME'], 'glib-2.0', 'settings'); os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, 'keyfile'), 'w').write("[com/example/ZImageStudio]\nmodel-path='%s'\n" % path)

# No such folder; a broken file in it: the message names it, the demo model is one button away.
for path, title in (('/nowhere/at/all', 'The model was not found'), (broken, 'broken|cannot be used')):
    model_setting(path)
    app = s.start(env={'GSETTINGS_BACKEND': 'keyfile'})
    app.wait_text(title, 20)
    check(app.find('label', 'nowhere' if 'nowhere' in path else 'model_index'), 'the message names the file')
    check(app.find('button', 'Choose a Model'), 'and a way out')
    check(not ui.enabled(app.find('button', '^_?Generate')), 'nothing can be generated without a model')
    ui.click(app.find('button', 'Use the _?Demo Model'))
    s.tokens(app)
    s.make(app, 'a red apple')
    check(True, 'the demo model works')
    s.end(app)

# Pictures that cannot be kept are not lost.
os.remove(os.path.join(os.environ['XDG_CONFIG_HOME'], 'glib-2.0', 'settings', 'keyfile'))
blocked = os.path.join(os.environ['HOME'], 'blocked'); open(blocked, 'w').close()
folder = os.path.join(os.environ['XDG_CONFIG_HOME'], 'glib-2.0', 'settings')
open(os.path.join(folder, 'keyfile'), 'w').write("[com/example/ZImageStudio]\noutput-folder='%s/pictures'\n" % blocked)
app = s.start(env={'GSETTINGS_BACKEND': 'keyfile'})
s.tokens(app)
s.make(app, 'a red apple')
app.wait_text('The picture could not be saved', 10)
saved = os.path.join(os.environ['HOME'], 'elsewhere.png')
ui.click(app.find('button', 'Save As…'))
ui.save_in_dialog(app, 'Save Picture', saved)
app.wait_text('Saved as', 20)
check(os.path.getsize(saved) > 1000, 'it can be saved somewhere else')
s.end(app)

# Too little memory: said before any work, with the smaller picture as a button.
open(os.path.join(folder, 'keyfile'), 'w').write("[com/example/ZImageStudio]\nmemory-limit=uint32 60\nwidth=512\nheight=512\n"
                                                 "last-model='%s'\n" % os.path.realpath(model))
app = s.start(env={'GSETTINGS_BACKEND': 'keyfile'})
s.tokens(app)
s.write_prompt(app, 'a red apple')
ui.key('ctrl+Return')
app.wait_text('Not enough memory', 20)
ui.click(app.find('button', 'Smaller Picture'))
s.wait_done(app, 60)
check(True, 'the smaller picture is made')
s.end(app)
