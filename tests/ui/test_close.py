# SPDX-License-Identifier: Apache-2.0
"""Closing while pictures are being made asks once, and can finish without the window; the computer stays awake meanwhile."""
import os
import threading
import studio as s
from studio import ui, check
from names import look

s.demo_model()
manager = s.serve('session_manager.py')
app = s.start()
s.write_prompt(app, 'a red apple')
s.set_value(app, 'Steps', 60)
for _ in range(2): ui.key('ctrl+Return')
ui._close(app.proc.pid)
ui.click(app.find('button', 'Keep Open'))
ui.wait(lambda: len(ui._windows(app.proc.pid)) == 1, 10, 'the question to go')
app.gone('button', 'Keep Open')        # from libadwaita 1.5 on it is no window of its own
check(app.alive(), 'keeping it open keeps it')
ui._close(app.proc.pid)
ui.click(app.find('button', 'Finish in Background'))
ui.wait(lambda: not ui._windows(app.proc.pid), 10, 'the window to go')
check(app.alive(), 'it works on without a window')
summary, body, picture = s.notification()
check(summary != '' and body == 'a red apple', 'a notification tells of it')
with open(picture, 'rb') as f: check(f.read(4) == b'\x89PNG', 'and shows it')
status = app.proc.wait(200)
check(status == 0, 'and ends when all is done (status %s)' % status)

app = s.start()
ui.wait(lambda: len(s.thumbnails(app)) == 2, 10, 'two pictures')
check(True, 'the pictures made without a window are in the strip')
s.write_prompt(app, 'a blue car')
s.set_value(app, 'Steps', 100)
s.set_value(app, 'Pictures', 50)
for _ in range(8): ui.key('ctrl+Return')

# Escape belongs to what is in front: it closes a dialog, and what is being made behind it goes on.
def is_closed(role, name):
    """a dialog, which before libadwaita 1.5 is a window of its own"""
    return not app.all(role, name) and len(ui._windows(app.proc.pid)) == 1
for keys, role, name in ('ctrl+comma', 'spin button', 'Memory Limit'), ('ctrl+w', 'button', 'Keep Open'):
    app.find(None, '^8 pictures to make')
    ui.key(keys); app.find(role, name)
    if name == 'Keep Open': look(app, 'the question before closing')
    ui.key('Escape'); ui.wait(lambda: is_closed(role, name), 10, '%r to go' % name)
    check(app.all(None, '^8 pictures to make'), 'Escape closes what has “%s”, and cancels no picture' % name)

ui._close(app.proc.pid)
ui.click(app.find('button', 'Stop and Close'))
status = app.proc.wait(60)
check(status == 0, 'stopping ends it at once (status %s)' % status)

# Nobody is there to see that a picture could not be kept: the window comes back and says so.
blocked = os.path.join(os.environ['HOME'], 'blocked'); open(blocked, 'w').close()
s.settings(output_folder="'%s/pictures'" % blocked)
app = s.start(env=s.KEYFILE)
s.write_prompt(app, 'a green frog')
s.set_value(app, 'Steps', 40)
ui.key('ctrl+Return')
ui._close(app.proc.pid)
ui.click(app.find('button', 'Finish in Background'))
ui.wait(lambda: not ui._windows(app.proc.pid), 10, 'the window to go')
ui.wait(lambda: ui._windows(app.proc.pid), 60, 'the window to come back')
app.wait_text('The picture could not be saved', 10)
check(app.find('image', '^Picture: a green frog'), 'a picture that could not be kept is shown')

# 4: not to be suspended, GTK_APPLICATION_INHIBIT_SUSPEND.  Whoever ends takes it along without a word.
asked = []
threading.Thread(target=lambda: [asked.append(line.rstrip('\n')) for line in manager.stdout], daemon=True).start()
ui.wait(lambda: asked[-1:] == ['uninhibit 3'], 30, 'the end of what keeps the computer awake')
check([a for a in asked if not a.startswith('un')] == ['inhibit %d 4 Pictures are being made' % i for i in (1, 2, 3)],
      'the computer is kept awake while pictures are made, and no longer: %s' % asked)

# The picture is in memory alone.
ui._close(app.proc.pid)
ui.click(app.find('button', 'Close Without Saving'))
ui.wait(lambda: not app.alive(), 10, 'the program to end')
check(app.proc.returncode == 0, 'a window with a picture that is not saved asks before it closes')
