# SPDX-License-Identifier: Apache-2.0
"""The installed Flatpak, as a person meets it: it starts, makes a picture with the model that comes along, saves it through the
portal's dialog to a folder that the sandbox cannot see, and finishes its work without a window.

usage: ui-session.sh -f -o OUT /usr/bin/python3 tests/flatpak/test_flatpak.py
FLATPAK_USER_DIR says where it is installed, if not in the user's own place."""
import os, subprocess, sys, tempfile
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'ui'))
ID = 'com.example.ZImageStudio'
sys.argv[1:] = ['flatpak', 'run', '--user', '--branch=stable', ID]
import studio as s
from studio import ui

def inside(*command):
    """the output of a command in the sandbox"""
    return subprocess.run(['flatpak', 'run', '--user', '--branch=stable', '--command=' + command[0], ID, *command[1:]], capture_output=True, text=True,
                          check=True).stdout

def portal_dialog():
    """the file chooser, which is another program's window"""
    return ui.wait(lambda: [w for w in ui._x('search', '--onlyvisible', '--class', 'xdg-desktop-portal-gtk').stdout.split()], 20,
                   'the dialog of the portal')[-1]

permissions = inside('cat', '/.flatpak-info')
s.check('filesystems' not in permissions and 'devices=dri' in permissions, 'it has no file system, and the graphics devices')
s.check('cpu' in inside('zimage', 'devices'), 'the command line is in it')
s.check('oneDNN 3.' in inside('zimage', 'devices'), 'with oneDNN')
out = inside('sh', '-c', 'cd $XDG_CACHE_HOME && zimage generate -p "a red apple" --steps 2 --seed 7 -o a.png && head -c 4 a.png | tail -c 3')
s.check(out == 'a.png\nPNG', 'and makes a picture')
s.check('Aufruf' in inside('sh', '-c', 'LC_ALL=de_DE.UTF-8 zimage --help'), 'and speaks German')

app = s.start()
s.check(s.tokens(app) > 0, 'the window opens, with a model')
s.make(app, 'a red apple on a blue background')
ui.screenshot('flatpak-picture.png')

folder = tempfile.mkdtemp(dir=os.environ['HOME'])
path = os.path.join(folder, 'saved.png')
ui.key('ctrl+s')
dialog = portal_dialog()
ui._x('windowactivate', '--sync', dialog); ui.time.sleep(1)
ui.screenshot('flatpak-dialog.png')
ui.key('ctrl+a'); ui.type_text(path); ui.key('Return')
ui.wait(lambda: os.path.exists(path) and os.path.getsize(path) > 1000, 20, 'the saved picture')
with open(path, 'rb') as f:
    s.check(f.read(4) == b'\x89PNG', 'the picture is in a folder that the sandbox has never seen')
app.wait_text('Saved as')
ui.screenshot('flatpak-saved.png')
with open(path, 'rb') as f:
    s.check(b'red apple on a blue background' in f.read(), 'with its recipe')

# Closed in the middle of work: the desktop is asked, and the sandbox lives until the pictures are done.
for _ in range(4): ui.key('ctrl+Return')
ui.key('ctrl+w')
ui.click(app.find('button', 'Finish in Background'))
s.check(app.proc.wait(120) == 0, 'work goes on without a window, and the program ends when it is done')
n = len(inside('sh', '-c', 'ls $XDG_DATA_HOME/zimage-studio/pictures').split())
s.check(n == 5, 'all pictures are in the folder of its own (%d)' % n)
