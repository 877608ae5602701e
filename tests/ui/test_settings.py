# SPDX-License-Identifier: Apache-2.0
"""Preferences and what was written survive a restart."""
import json, os
import studio as s
from studio import ui, check

demo = s.demo_model()
env = s.KEYFILE
app = s.start(env=env)
s.tokens(app)
s.write_prompt(app, 'a yellow umbrella')
s.set_value(app, 'Pictures', 3)

# A size that is typed becomes one that the model can make: the nearest in steps of 16, up or down.
s.unfold(app, 'Custom Size')
for name, typed, made in (('Width', '300', 304), ('Height', '500', 496)):
    ui.mouse(app.find('label', '^%s$' % name)); ui.key('ctrl+a'); ui.type_text(typed); ui.key('Tab')
    ui.wait(lambda: s.get_value(app, '^' + name) == made, 10, '%s: %s to become %d' % (name, typed, made))
check(app.find('label', '^304 × 496'), 'a size that is typed goes in steps of 16')

ui.key('ctrl+comma')
limit = app.find('spin button', 'Memory Limit')
limit.value = 3.0
def keeps(): return s.is_pressed(app.find('check box', '^Keep Pictures'))
check(keeps(), 'pictures are kept at first')
ui.click(app.find('check box', '^Keep Pictures'))
ui.wait(lambda: not keeps(), 10, 'the switch to be off')
ui.key('Escape')
ui.wait(lambda: 'limit is 3' in s.gauge(app), 10, 'the limit in the gauge')
s.end(app)
with open(os.path.join(os.environ['XDG_CONFIG_HOME'], 'glib-2.0', 'settings', 'keyfile'), 'a') as f: f.write("decode='blend'\ntile-size=uint32 128\n")

app = s.start(env=env)
s.tokens(app)
check(ui.text(s.prompt(app)) == 'a yellow umbrella', 'the prompt is still there')
ui.wait(lambda: 'limit is 3' in s.gauge(app), 10, 'the limit in the gauge')
check(True, 'the limit survived')
ui.wait(lambda: s.get_value(app, 'Pictures') == 3, 10, 'the number of pictures')
check(True, 'the number of pictures survived')
check(app.find('label', '^304 × 496'), 'the size survived')
ui.key('ctrl+comma')
check(abs(app.find('spin button', 'Memory Limit').value - 3.0) < 0.06, 'the preferences say so too')
check(not keeps(), 'nor are pictures kept')
check(app.find('spin button', 'Tile Size').value == 128, 'blended tiles have a size')
ui.key('Escape')
s.end(app)

# A model that was not distilled takes guidance and a negative prompt; the demo model does neither.
base = os.path.join(os.environ['HOME'], 'base'); os.mkdir(base)
for name in os.listdir(demo): os.symlink(os.path.realpath(os.path.join(demo, name)), os.path.join(base, name))
index = json.load(open(os.path.join(demo, 'model_index.json')))
index['zimage_studio'].update(distilled=False, name='Base model')
os.remove(os.path.join(base, 'model_index.json')); json.dump(index, open(os.path.join(base, 'model_index.json'), 'w'))

for path in ('', base):
    s.settings(model_path="'%s'" % path, window_height=860, sampler="'heun'", last_model="'%s'" % (path or os.path.realpath(demo)))
    app = s.start(env=env)
    s.tokens(app); s.unfold(app, 'Advanced')
    check([bool(app.all('label', '^_?%s$' % n)) for n in ('Steps', 'Avoid', 'Guidance')] == [True, bool(path), bool(path)],
          'a base model takes guidance' if path else 'a distilled one does not')
    advice = app.all('label', '^This model was taught to paint with Euler')
    check(bool(advice) == (not path), 'another sampler is advised against' if not path else 'or not')
    for steps, why in (4, 'With fewer, pictures stay unfinished'), (20, 'More take longer and make pictures harsher'):
        s.set_value(app, 'Steps', steps)
        ui.wait(lambda: bool(app.all('label', '^This model was taught to paint in 8 steps. ' + why)) == (not path), 10, 'advice')
        check(True, 'so are %d steps, and why is said' % steps if not path else 'nor are %d steps' % steps)
    s.end(app)
