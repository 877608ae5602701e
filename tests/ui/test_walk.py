# SPDX-License-Identifier: Apache-2.0
"""The way a person goes: write, generate, watch, cancel, queue, save, open again."""
import os, re
import studio as s
from studio import ui, check

s.demo_model()
out = os.environ['HOME']
app = s.start()

# Write: the tokens are counted while one types.
before = s.tokens(app)
s.write_prompt(app, 'a red apple on a blue background')
ui.wait(lambda: s.tokens(app) > before, 5, 'the token count to grow')
check(True, 'tokens are counted live')

# Generate: the picture comes, and its thumbnail.
check(not s.thumbnails(app), 'the strip is empty at first')
ui.key('ctrl+Return')
s.wait_done(app)
ui.wait(lambda: len(s.thumbnails(app)) == 1, 10, 'a thumbnail')
check('a red apple' in s.thumbnails(app)[0].name, 'the thumbnail is named after its prompt')
check(app.find('image', '^Picture: a red apple'), 'the canvas says what it shows')
first_seed = s.seed(app)
check(int(first_seed) >= 0, 'the seed that was thrown is shown')

# Save as PNG through the dialog.
path = os.path.join(out, 'apple.png')
ui.key('ctrl+s')
ui.save_in_dialog(app, 'Save Picture', path)
s.told_saved(app, path)
check(os.path.getsize(path) > 1000, 'the file is there')
suggested = 'a-red-apple-on-a-blue-background-%s.png' % first_seed
ui.key('ctrl+s')
ui.save_as_suggested('Save Picture')
s.told_saved(app, os.path.join(out, suggested))
check(os.path.exists(os.path.join(out, suggested)), 'a name is suggested, in the folder of last time: %s' % suggested)

# An error of saving is shown, and the picture is still there.
ui.key('ctrl+s')
ui.save_in_dialog(app, 'Save Picture', os.path.join(out, 'apple.tiff.jpg'))
s.told_saved(app, os.path.join(out, 'apple.tiff.jpg'))

# A second picture takes the place of the first, and stays.
s.make(app, 'a green frog')
check(app.all('image', '^Picture: a green frog'), 'the newest picture is the one that is shown')
ui.key('alt+Right'); app.find('image', '^Picture: a red apple', 10)

# Steps are told, and previews arrive: the canvas shows another one some steps later, while the picture is still being made.
s.write_prompt(app, 'a panda')
s.set_value(app, 'Steps', 100)
ui.key('ctrl+Return')
canvas = app.find('image', '^Picture: a panda', 20)
app.wait_text(r'^Step ([4-9]|\d\d) of 100', 20)
check(True, 'progress is told in words')
early = ui.pixels(canvas)
def differing():
    """which part of it is another by now, if by little: the first of many steps change little"""
    return sum(a != b for a, b in zip(early, ui.pixels(canvas))) / len(early)
ui.wait(lambda: differing() > .05, 10, 'another preview')
check(app.all('label', r'^Step \d+ of 100'), 'previews arrive while the picture is being made')
check(re.search(r'^Step \d+ of 100( · .+ left)? – Z-Image Studio$', ui.title(app)), 'the window’s title says how far it is: %s' % ui.title(app))

# Cancel in the middle of a step: answered at once, the picture before is back.
for again in range(5):
    if again: ui.key('ctrl+Return')
    app.find('button', '^_?Cancel', 20)
    ui.key('Escape')
    app.gone('button', '^_?Cancel', 5)
app.find('image', '^Picture: a red apple', 10)
check(ui.title(app) == 'Z-Image Studio', 'the title says no steps any more')
check(len(s.thumbnails(app)) == 2, 'cancelled pictures leave nothing behind')

# A queue of jobs; one is removed.
s.set_value(app, 'Steps', 30)
ui.click(app.find('button', 'New Random Seed'))
for _ in range(4):
    ui.key('ctrl+Return')
app.find(None, r'[234] pictures to make', 10)
check(True, 'the queue is counted')
ui.key('ctrl+j')
rows = ui.wait(lambda: app.all('button', '^Remove$'), 10, 'rows of the queue')
ui.click(rows[-1])
ui.key('Escape')
s.wait_done(app, seconds=120)
s.set_value(app, 'Steps', 8)
made = len(s.thumbnails(app))
check(made in (4, 5), 'of four pictures one was removed (%d in the strip)' % (made - 2))

# Open the file that was saved: its recipe is offered and restored.
check(s.seed(app) != first_seed, 'the seed is another one by now')
app2 = s.ui.subprocess.run(s.PROGRAM + [path], timeout=60)
check(app2.returncode == 0, 'a second start hands over to the first')
s.told(app, 'This picture carries its recipe', lambda: app.all('image', '^Picture: a red apple'))
check(not app.all('label', 'This picture carries') or app.all('button', 'Use Recipe'), 'the recipe is offered')
ui.key('ctrl+r')
def restored(): return ui.text(s.prompt(app)) == 'a red apple on a blue background'
s.told(app, 'Recipe restored', restored)
check(ui.wait(restored, 10, 'the prompt of the recipe'), 'the prompt is back')
s.generate(app)
check(s.seed(app) == first_seed, 'the seed is back, and stays')

# History: Up in the first line.
ui.key('ctrl+l'); ui.key('ctrl+Home'); ui.key('Up')
ui.wait(lambda: ui.text(s.prompt(app)) == 'a panda', 5, 'the earlier prompt')
ui.key('ctrl+End'); ui.key('Down')
ui.wait(lambda: ui.text(s.prompt(app)).startswith('a red apple'), 5, 'the later prompt')
check(True, 'Up and Down go through the history')

# The overflow is said.
ui.key('ctrl+l'); ui.key('ctrl+a')
ui.type_text('7' * 520)      # a token each
ui.wait(lambda: s.tokens(app) > 512, 30, 'more than 512 tokens')
app.wait_text('more than the model reads', 10)
ui.key('ctrl+Return')
app.wait_text('The prompt is too long', 10)
check(True, 'a prompt that is too long is marked and refused in words')
ui.click(app.find('button', 'Close the Message'))
s.end(app)
