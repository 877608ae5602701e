# SPDX-License-Identifier: Apache-2.0
"""What the tests of the window share: starting it, and finding things in it by what a screen reader hears."""
import atexit, json, os, re, struct, subprocess, sys, tempfile, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import uidrive as ui

PROGRAM = sys.argv[1:]                 # the program, perhaps with what runs it in another root before it
SKIP = 77
_began = time.monotonic()

if not PROGRAM:
    sys.exit('usage: ui-session.sh /usr/bin/python3 %s [RUNNER ROOT] PROGRAM' % sys.argv[0])

def _failed(kind, value, trace):
    """what the screen showed when a test failed"""
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0] + '-failed.png'
    try:
        print('see', ui.screenshot(name))
        with open(os.path.join(os.environ.get('UI_OUT', '.'), name.replace('png', 'txt')), 'w') as f:
            f.write(ui.App(None, 'zimage-studio').tree())
    except Exception: pass
    sys.__excepthook__(kind, value, trace)

sys.excepthook = _failed

def demo_model():
    here = os.path.dirname(os.path.abspath(__file__))
    for path in (os.environ.get('ZIE_DEMO_MODEL'), os.path.join(here, '..', '..', 'data', 'demo-model')):
        if path and os.path.exists(os.path.join(path, 'model_index.json')):
            return path
    print('skipped: there is no demo model in this tree')
    sys.exit(SKIP)

def write_lora(path):
    """of rank 1, for one layer of the demo model"""
    layer, floats = 'diffusion_model.layers.0.attention.to_q.', struct.pack('<384f', *([0.01] * 384))
    header = json.dumps({layer + 'lora_A.weight': {'dtype': 'F32', 'shape': [1, 384], 'data_offsets': [0, 1536]},
                         layer + 'lora_B.weight': {'dtype': 'F32', 'shape': [384, 1], 'data_offsets': [1536, 3072]}}).encode()
    with open(path, 'wb') as f: f.write(struct.pack('<Q', len(header)) + header + floats + floats)

def serve(script):
    """a service of the desktop, until the test ends: a program of this folder that says "ready"; what it prints later can be read"""
    here = os.path.dirname(os.path.abspath(__file__))
    p = subprocess.Popen([sys.executable, os.path.join(here, script)], stdout=subprocess.PIPE, text=True)
    atexit.register(p.kill)
    if p.stdout.readline() != 'ready\n': raise ui.Missing('no service from ' + script)
    return p

_notifications = []

def _serve_notifications():
    """once a test: see notifications.py"""
    if not _notifications: _notifications.append(serve('notifications.py'))

def notification():
    """waits for the next one: (summary, body, file of the picture on it)"""
    return tuple(_notifications[0].stdout.readline().rstrip('\n').split('\t'))

def settings(**keys):
    """writes settings for a start with KEYFILE; values as GVariant's text"""
    folder = os.path.join(os.environ['XDG_CONFIG_HOME'], 'glib-2.0', 'settings')
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, 'keyfile'), 'w') as f:
        f.write('[com/example/ZImageStudio]\n')
        f.writelines('%s=%s\n' % (k.replace('_', '-'), v) for k, v in keys.items())

KEYFILE = {'GSETTINGS_BACKEND': 'keyfile'}

def start(*args, env=None, wrapper=(), launch=ui.start):
    """the window, started with ARGS, perhaps by a command that ends by executing it; by ui.launch without waiting for it"""
    _serve_notifications()
    full = {'G_DEBUG': 'fatal-warnings'}
    full.update(env or {})
    return launch([*wrapper, *PROGRAM, *args], name='zimage-studio', env=full)

def prompt(app):
    return app.find('text', '^Prompt')

def write_prompt(app, text):
    ui.key('ctrl+l'); ui.key('ctrl+a'); ui.type_text(text)
    ui.wait(lambda: ui.text(prompt(app)) == text, 10, 'the prompt to hold %r' % text)

def tokens(app):
    return int(re.match(r'(\d+) of', app.find('label', r'^\d+ of \d+ tokens').name).group(1))

def wait_done(app, n_before=None, seconds=60):
    """until nothing runs and a finished picture is shown; one more than N_BEFORE are in the strip, if that is given"""
    def done():
        return (not app.all('button', '^_?Cancel') and (n_before is None or len(thumbnails(app)) > n_before)
                and app.all('label', r'· seed \d+ ·'))
    return ui.wait(done, seconds, 'the picture to be done')

def told(app, text, is_so, seconds=20):
    """waits for a toast that says TEXT.  It shows for five seconds: where the tree takes long to read (sanitizers), a toast can
    be over before it was read once, and is_so(), what the toast tells of, is enough"""
    def seen():
        began = time.monotonic()
        return app.all('label', text) or (time.monotonic() - began > 1 and is_so())
    ui.wait(seen, seconds, 'to be told %r' % text)

def told_saved(app, path):
    told(app, 'Saved as “' + re.escape(os.path.basename(path)), lambda: os.path.exists(path))

def clipboard():
    """the PNG that another program gets when a picture is pasted into it, or nothing; see clipboard.c"""
    build = os.path.dirname(os.path.dirname(os.path.abspath(PROGRAM[-1])))
    return subprocess.run([*PROGRAM[:-1], os.path.join(build, 'tests', 'ui', 'clipboard')], stdout=subprocess.PIPE, timeout=60).stdout

def newest_picture():
    """the file that was kept last"""
    folder = os.path.join(os.environ['XDG_DATA_HOME'], 'zimage-studio', 'pictures')
    return max((os.path.join(folder, name) for name in os.listdir(folder)), key=os.path.getmtime)

def generate(app, how='ctrl+Return', seconds=60):
    """presses HOW, and waits for the picture; it may be done before one has looked"""
    n_before = len(thumbnails(app))
    ui.key(how)
    wait_done(app, n_before, seconds)

def make(app, text, seconds=60):
    write_prompt(app, text)
    generate(app, seconds=seconds)

def unfold(app, row, control=None):
    """opens a folded row with a click of the mouse; its controls are seen a moment later.  With CONTROL (role, name) until that is there:
    a slow window may still be moving what is clicked at"""
    ui.mouse(app.find('label', '^%s$' % row))
    time.sleep(.4)
    if control:
        for _ in range(3):
            try: return app.find(*control, seconds=3)
            except ui.Missing: ui.mouse(app.find('label', '^%s$' % row))

def spin(app, name, row='Advanced'):
    """a spin button; GTK 4.8 tells of it also where its row is folded, later versions do not"""
    def look(): return [a for a in app.root().walk() if a.role == 'spin button' and re.search(name, a.name)]
    if not look():
        ui.mouse(app.find('label', '^%s$' % row))
    return ui.wait(look, 10, 'the spin button %r' % name)[0]

def set_value(app, name, value): spin(app, name).value = value
def get_value(app, name): return spin(app, name).value

def thumbnails(app):
    strips = app.all('list', '^Pictures$')       # hidden as long as there is no picture
    return [a for strip in strips for a in strip.walk() if a.role == 'list item']

def menu_item(app, name, index):
    """of the open main menu; GTK 4.18 gives its items no names, so also by its place (0 = the first)"""
    items = ui.wait(lambda: app.all('menu item'), 10, 'the menu')
    return next((i for i in items if re.search(name, i.name)), None) or items[index]

def is_pressed(a):
    """of a toggle button"""
    return bool(a.states() & {'pressed', 'checked'})

def seed(app):
    """of the picture that is shown (GTK 4.8 reads entries back as '')"""
    return re.search(r'seed (\d+)', app.find('label', r'· seed \d+ ·').name).group(1)

def gauge(app):
    for role in ('button', 'toggle button', None):
        for a in app.all(role, r'^(Graphics memory|Memory):? '):
            if 'in all' in a.name: return a.name.replace('\xa0', ' ')
    raise ui.Missing('no gauge')

def check(condition, what):
    if not condition: raise AssertionError(what)
    print('%6.1f s ok' % (time.monotonic() - _began), what, flush=True)

def end(app):
    status = app.stop()
    check(status == 0, 'the program ends by itself with status 0 (got %s)' % status)
