# SPDX-License-Identifier: Apache-2.0
"""Failures are sentences with a way out."""
import os, shutil, subprocess
import studio as s
from studio import ui, check
from names import look

model = s.demo_model()
broken = os.path.join(os.environ['HOME'], 'broken'); os.mkdir(broken)
open(os.path.join(broken, 'model_index.json'), 'w').write('{"_class_name": "ZImage')

# No such folder; a broken file in it: the message names it, the demo model is one button away.
for path, title in (('/nowhere/at/all', 'The model was not found'), (broken, 'broken|cannot be used')):
    s.settings(model_path="'%s'" % path)
    app = s.start(env=s.KEYFILE)
    app.wait_text(title, 20)
    check(app.find('label', 'nowhere' if 'nowhere' in path else 'model_index'), 'the message names the file')
    check(app.find('button', 'Choose a Model'), 'and a way out')
    look(app, 'no model')
    check(not ui.enabled(app.find('button', '^_?Generate')), 'nothing can be generated without a model')
    ui.click(app.find('button', 'Use the _?Demo Model'))
    s.tokens(app)
    s.make(app, 'a red apple')
    check(True, 'the demo model works')
    s.end(app)

# A file of the model that is cut while the window has it open, as by a copy in its place: said, and as good as before when it is back.
lent = os.path.join(os.environ['HOME'], 'lent'); shutil.copytree(model, lent)
weights = os.path.join(lent, 'transformer', 'diffusion_pytorch_model.gguf'); content = open(weights, 'rb').read()
s.settings(model_path="'%s'" % lent)
app = s.start(env=s.KEYFILE)
s.tokens(app)
s.make(app, 'a red apple')
n_before = len(s.thumbnails(app))
open(weights, 'wb').close()
s.write_prompt(app, 'a green frog'); ui.key('ctrl+Return')
app.wait_text('A file of the model went away', 20)
check(app.find('label', os.path.basename(weights)), 'the message names the file that went away')
open(weights, 'wb').write(content)
ui.click(app.find('button', 'Open Again'))
app.gone('label', 'A file of the model went away', 20)
s.tokens(app)
s.make(app, 'a green frog')
check(len(s.thumbnails(app)) == n_before + 1, 'and nothing is lost of the session')
s.end(app)

# Pictures that cannot be kept are not lost.
blocked = os.path.join(os.environ['HOME'], 'blocked'); open(blocked, 'w').close()
s.settings(output_folder="'%s/pictures'" % blocked)
app = s.start(env=s.KEYFILE)
s.tokens(app)
s.make(app, 'a red apple')
app.wait_text('The picture could not be saved', 10)
look(app, 'a notice')
s.make(app, 'a green frog')
check(app.all('label', 'The picture could not be saved'), 'the next picture does not hide that one is not saved')
ui.key('ctrl+w')
app.wait_text('A Picture Is Not Saved', 10); ui.key('Escape')
app.gone('label', 'A Picture Is Not Saved')
check(app.alive(), 'the window asks before it closes')
for prompt in ('a red apple', 'a green frog'):      # the oldest first, whatever is shown
    saved = os.path.join(os.environ['HOME'], prompt + '.png')
    ui.click(app.find('button', 'Save As…'))
    ui.save_in_dialog(app, 'Save Picture', saved)
    s.told_saved(app, saved)
    check(prompt.encode() in open(saved, 'rb').read(), '%s can be saved somewhere else' % prompt)
app.gone('label', 'The picture could not be saved', 20)
s.make(app, 'a blue car')
app.wait_text('The picture could not be saved', 10)
ui.mouse(s.thumbnails(app)[0]); ui.key('Delete')
ui._x('mousemove', '5', '5')           # GTK 4.8 warns where a file dialog closes below the pointer
app.gone('label', 'The picture could not be saved')
check(True, 'of a picture that is deleted nothing has to be saved')
s.end(app)

# Too little memory: said before any work, with the smaller picture as a button.
s.settings(memory_limit='uint32 60', width=512, height=512, last_model="'%s'" % os.path.realpath(model))
app = s.start(env=s.KEYFILE)
s.tokens(app)
s.write_prompt(app, 'a red apple')
ui.key('ctrl+Return')
app.wait_text('Not enough memory', 20)
ui.click(app.find('button', 'Smaller Picture'))
s.wait_done(app, 0)
check(True, 'the smaller picture is made')
s.end(app)

# A full disk: one of a few pages, where such can be mounted for the program alone.
disk = os.path.join(os.environ['HOME'], 'disk'); os.mkdir(disk)
mount = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=16k tmpfs %s && exec "$@"' % disk, 'mount']
if os.getuid() == 0 and subprocess.run(mount + ['true'], stderr=subprocess.DEVNULL).returncode == 0:
    s.settings(output_folder="'%s'" % disk)
    app = s.start(env=s.KEYFILE, wrapper=mount)
    s.tokens(app)
    s.make(app, 'a red apple')
    app.wait_text('The disk is full', 20)
    ui.click(app.find('button', 'Save As…'))
    whole = os.path.join(os.environ['HOME'], 'whole.png')
    ui.save_in_dialog(app, 'Save Picture', whole)
    s.told_saved(app, whole)
    check(os.path.getsize(whole) > 1000, 'a full disk is said, and the picture saved elsewhere')
    s.end(app)
