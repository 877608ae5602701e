# SPDX-License-Identifier: Apache-2.0
"""Closing while pictures are being made asks once, and can finish without the window."""
import subprocess, time
import studio as s
from studio import ui, check

s.demo_model()
app = s.start()
s.write_prompt(app, 'a red apple')
s.set_value(app, 'Steps', 100)
for _ in range(6): ui.key('ctrl+Return')
ui._close(app.proc.pid)
ui.click(app.find('button', 'Keep Open'))
ui.wait(lambda: len(ui._windows(app.proc.pid)) == 1, 10, 'the question to go')
check(app.alive(), 'keeping it open keeps it')
ui._close(app.proc.pid)
ui.click(app.find('button', 'Finish in Background'))
ui.wait(lambda: not ui._windows(app.proc.pid), 10, 'the window to go')
check(app.alive(), 'it works on without a window')
check(s.notification()[0] != '', 'a notification tells of it')
status = app.proc.wait(200)
check(status == 0, 'and ends when all is done (status %s)' % status)

app = s.start()
check(len(s.thumbnails(app)) >= 5, 'the pictures made without a window are in the strip')
s.write_prompt(app, 'a blue car')
s.set_value(app, 'Steps', 100)
for _ in range(8): ui.key('ctrl+Return')
ui._close(app.proc.pid)
ui.click(app.find('button', 'Stop and Close'))
status = app.proc.wait(20)
check(status == 0, 'stopping ends it at once (status %s)' % status)
