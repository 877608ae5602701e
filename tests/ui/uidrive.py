# SPDX-License-Identifier: Apache-2.0
"""Drives a GTK 4 program as a person would: finds widgets by what a screen reader hears (AT-SPI),
types and presses keys through the X server (xdotool), and looks at the picture (import).

Run it with Debian's /usr/bin/python3 (python3-gi, gir1.2-atspi-2.0), inside ui-session.sh:

    import uidrive as ui
    app = ui.start(['build/app/zimage-studio'], name='zimage-studio')
    ui.type_into(app.find('text', 'Prompt'), 'a red fox')
    ui.click(app.find('push button', 'Generate'))
    app.wait_text('Done', 30)
    ui.key('ctrl+s'); ...
    app.stop()

Roles are AT-SPI's names: 'push button' (newer at-spi: 'button'), 'text' (entry), 'label', 'list item',
'spin button', 'check box', 'combo box', 'frame', 'dialog', 'image', 'filler'/'panel' (everything else).
What find() and all() give are nodes of accessible.py: what a widget was when it was looked for.
"""
import ctypes, os, re, subprocess, time
import accessible

ROLES = {'button': ('push button', 'button'), 'push button': ('push button', 'button'),
         'text': ('text', 'entry', 'text box'), 'dialog': ('dialog', 'alert', 'file chooser')}

# A machine that builds something else beside it takes several times as long for everything; only a failure waits this long.
PATIENCE = 4
POLL = .03
reader = accessible.Reader(timeout_s=5 * PATIENCE)

class Missing(AssertionError): pass

def shown(a): return a.was('showing', 'visible')

def enabled(a):
    """now, not when it was found"""
    return bool(a.states() & {'sensitive', 'enabled'})

def wait(test, seconds=10, what='condition'):
    """calls test() until it gives something true; AssertionError after `seconds` (of a quiet machine)"""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        began = time.monotonic()
        try: v = test()
        except (Missing, accessible.Gone): v = None
        if v: return v
        if time.monotonic() > end: raise Missing('waited %g s for %s' % (seconds, what))
        time.sleep(max(POLL, 2 * (time.monotonic() - began)))     # a tree that is read all the time leaves little for the window

class App:
    def __init__(self, proc, name): self.proc, self.name, self.began = proc, name, time.monotonic()
    def root(self):
        try: root = reader.application(self.name)
        except accessible.Gone: root = None
        if root: return root
        raise Missing('no application %r on the accessibility bus' % self.name)
    def all(self, role=None, name=None):
        """every shown widget of that role whose name matches the regular expression `name`"""
        roles = ROLES.get(role, (role,))
        return [a for a in self.root().walk()
                if (role is None or a.role in roles) and (name is None or re.search(name, a.name)) and shown(a)]
    def find(self, role=None, name=None, seconds=10):
        return wait(lambda: self.all(role, name), seconds, '%s %r' % (role, name))[0]
    def gone(self, role, name, seconds=10): wait(lambda: not self.all(role, name), seconds, '%s %r to go' % (role, name))
    def wait_text(self, text, seconds=10): return self.find('label', text, seconds)
    def tree(self):
        out = []
        def go(a, d):
            out.append('%s%s %r%s' % ('  ' * d, a.role, a.name, '' if shown(a) else ' hidden'))
            for c in a.kids: go(c, d + 1)
        go(self.root(), 0); return '\n'.join(out)
    def alive(self): return self.proc.poll() is None
    def stop(self, seconds=10 * PATIENCE):
        """asks the windows to close and gives the exit status; kills (status None) if it does not end"""
        if self.alive(): self.proc.terminate() if not _close(self.proc.pid) else None
        try: return self.proc.wait(seconds)
        except subprocess.TimeoutExpired: self.proc.kill(); self.proc.wait(); return None

def _x(*args): return subprocess.run(['xdotool', *args], capture_output=True, text=True)
def _windows(pid=None):
    """of those that the window manager knows: menus, tooltips and what is dragged about are windows, too"""
    found = _x('search', '--onlyvisible', *(['--pid', str(pid)] if pid else []), '--name', '.').stdout.split()
    return [w for w in found if _x('get_desktop_for_window', w).returncode == 0]
def is_in_front(app):
    """whether a window of the program has the keyboard: asked of the window manager, which costs the program no time"""
    return _x('getactivewindow', 'getwindowpid').stdout.strip() == str(app.proc.pid)
def _close(pid):
    """Alt+F4 on every window of the process (needs the window manager of ui-session.sh)"""
    w = _windows(pid)
    for i in w: _x('windowactivate', '--sync', i); _x('key', 'alt+F4')
    return bool(w)

def launch(argv, name=None, env=None):
    """starts a program without waiting for its window"""
    began = time.monotonic()
    app = App(subprocess.Popen(argv, env=dict(os.environ, **(env or {}))), name or os.path.basename(argv[0]))
    app.began = began
    return app
def start(argv, name=None, env=None, seconds=30):
    a = launch(argv, name, env)
    def up():
        if not a.alive(): raise AssertionError('%s ended with status %s' % (argv[0], a.proc.returncode))
        return a.all('frame')
    wait(up, seconds, 'the first window of ' + a.name)
    wait(lambda: a.all('frame')[0].was('active'), seconds, 'the window to have the focus')
    return a

def key(*keys):
    """key('ctrl+Return'): real key presses, to the window that has the keyboard focus"""
    for k in keys: _x('key', '--clearmodifiers', k); time.sleep(.04)
def type_text(s): _x('type', '--delay', '4', '--', s); time.sleep(.04)
def _frame(a):
    while a.parent is not None and a.role not in ('frame', 'dialog', 'window', 'file chooser', 'alert'): a = a.parent
    return a
def place(a):
    """the widget's middle in pixels of the X screen.  GTK 4 only knows positions inside the window, and its
    X window is larger than the frame by an even border (shadow or resize handle), hence the sum here."""
    f = _frame(a)
    while True:
        # What stands before the dash may be another number by now: “Step 3 of 8 – Z-Image Studio”.
        name = '(^|– )%s$' % re.escape(f.name.split(' – ')[-1]) if f.name else '.'
        ids = _x('search', '--onlyvisible', '--name', name).stdout.split()
        if ids or f.parent is None: break
        f = _frame(f.parent)                 # a dialog within its window
    (x, y, width, height), (fx, fy, fwidth, fheight) = a.extents(), f.extents()
    g = dict(l.split('=') for l in _x('getwindowgeometry', '--shell', ids[-1]).stdout.split() if '=' in l)
    return (int(g['X']) + (int(g['WIDTH']) - fwidth) // 2 + x - fx + width // 2,
            int(g['Y']) + (int(g['HEIGHT']) - fheight) // 2 + y - fy + height // 2)
def _pointer_to(x, y):
    """for xdotool, which waits 15 s for a pointer to move that is there already"""
    return 'mousemove', str(x), str(y - 1), 'mousemove', '--sync', str(x), str(y)
def mouse(a, button=1):
    """moves the pointer over the widget and clicks it there, as a person does"""
    _x(*_pointer_to(*place(a)), 'click', str(button)); time.sleep(.1)
def wheel(a, clicks):
    """turns the wheel over the widget, down or (negative) up"""
    _x(*_pointer_to(*place(a)), 'click', '--repeat', str(abs(clicks)), '--delay', '10', '5' if clicks > 0 else '4')
    time.sleep(.3)                            # it glides to its place
def drag(a, b):
    """drags from the middle of one widget to the middle of another, in steps that a drag needs to be noticed"""
    (x0, y0), (x1, y1) = place(a), place(b)
    _x(*_pointer_to(x0, y0), 'mousedown', '1'); time.sleep(.3)
    for i in range(1, 11):
        _x('mousemove', '--sync', str(x0 + (x1 - x0) * i // 10), str(y0 + (y1 - y0) * i // 10)); time.sleep(.08)
    time.sleep(.5); _x('mouseup', '1'); time.sleep(.3)
focus = mouse   # GTK 4.8 answers Component.grabFocus with an error, so the keyboard focus is put there by a click
def click(a):
    """activates a button, row or menu item through its accessible action"""
    wait(lambda: enabled(a), 10, '%s %r to be enabled' % (a.role, a.name))
    for i, action in enumerate(a.actions()):
        if action in ('click', 'activate', 'press', 'default.activate', 'toggle'): a.act(i); return
    raise Missing('%s %r has no click action' % (a.role, a.name))
def type_into(a, s):
    """replaces the text of an entry with real key presses (GTK 4.8 reports '' for AdwEntryRow whatever it
    holds, so an empty answer is not taken for a failure)"""
    focus(a); key('ctrl+a'); type_text(s)
    wait(lambda: text(a) in (s, ''), 5, 'the entry to hold %r' % s)
def text(a): return a.text()
def _dialog(title, seconds):
    window = wait(lambda: _x('search', '--onlyvisible', '--name', title).stdout.split(), seconds, 'file dialog %r' % title)[-1]
    _x('windowactivate', '--sync', window); time.sleep(.2)
def _dialog_gone(title, seconds):
    wait(lambda: not _x('search', '--onlyvisible', '--name', title).stdout.split(), seconds, 'file dialog %r to close' % title)
def save_as_suggested(title, seconds=10):
    """agrees to what GTK's own file chooser has in its name entry, which GTK 4.8 lets nobody read"""
    _dialog(title, seconds); key('Return'); _dialog_gone(title, seconds)
def save_in_dialog(app, title, path, seconds=10):
    """fills GTK's own file chooser (no portal): types the path in its name entry and presses Enter.  From ~ where it can:
    on the way through /tmp, where other programs come and go, GTK 4.18's completion trips over files that vanish"""
    if path.startswith(os.environ['HOME'] + '/'): path = '~' + path[len(os.environ['HOME']):]
    _dialog(title, seconds)
    # The first letter brings up the entry where there is none yet; GTK 4.18 selects it there, 4.8 does not.
    key('ctrl+a'); type_text(path[0]); time.sleep(.3); key('ctrl+a'); type_text(path); time.sleep(.1)
    key('shift+End'); key('Delete'); key('Return')      # what completion put behind it
    _dialog_gone(title, seconds)
def resize(app, width, height):
    """the process's only window, with its frame of some pixels"""
    _x('windowsize', '--sync', _windows(app.proc.pid)[-1], str(width), str(height)); time.sleep(.2)
def title(app):
    """of the process's only window, as a task bar has it"""
    return _x('getwindowname', _windows(app.proc.pid)[-1]).stdout.rstrip('\n')
def pixels(a, part=.5):
    """the middle of a widget as the screen shows it: red, green, blue, row by row"""
    (x, y), (_, _, width, height) = place(a), a.extents()
    width, height = int(width * part), int(height * part)
    return subprocess.run(['import', '-silent', '-window', 'root', '-crop', '%dx%d+%d+%d' % (width, height, x - width // 2, y - height // 2),
                           '-depth', '8', 'rgb:-'], stdout=subprocess.PIPE, check=True).stdout
class _XImage(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ('width', 'height', 'xoffset', 'format')] + [('data', ctypes.c_void_p)] + [
        (name, ctypes.c_int) for name in ('byte_order', 'bitmap_unit', 'bitmap_bit_order', 'bitmap_pad', 'depth', 'bytes_per_line')]

class Screen:
    """a rectangle of the screen, read again and again: in a millisecond, where pixels() takes a hundred"""
    def __init__(self, x, y, width, height):
        self.place, self.x11 = (x, y, width, height), ctypes.CDLL('libX11.so.6')
        for f in 'XOpenDisplay', 'XDefaultRootWindow': getattr(self.x11, f).restype = ctypes.c_void_p
        self.x11.XGetImage.restype = ctypes.POINTER(_XImage)
        self.display = ctypes.c_void_p(self.x11.XOpenDisplay(None))
        self.root = ctypes.c_ulong(self.x11.XDefaultRootWindow(self.display))
    def read(self):
        """four bytes a pixel, row by row"""
        image = self.x11.XGetImage(self.display, self.root, *self.place, ctypes.c_ulong(2 ** 32 - 1), 2)
        data = ctypes.string_at(image.contents.data, image.contents.bytes_per_line * image.contents.height)
        self.x11.XFree(ctypes.c_void_p(image.contents.data)); self.x11.XFree(image)
        return data
def screenshot(name, title=None):
    win = 'root' if title is None else _x('search', '--onlyvisible', '--name', title).stdout.split()[-1]
    out = os.path.join(os.environ.get('UI_OUT', '.'), name)
    subprocess.run(['import', '-silent', '-window', win, out], check=True)
    return out
