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
check(app.alive(), 'keeping it open keeps it')
ui._close(app.proc.pid)
ui.click(app.find('button', 'Finish in Background'))
ui.wait(lambda: not ui._windows(app.proc.pid), 10, 'the window to go')
check(app.alive(), 'it works on without a window')
check(app.proc.wait(200) == 0, 'and ends when all is done')

app = s.start()
check(len(s.thumbnails(app)) >= 5, 'the pictures made without a window are in the strip')
s.write_prompt(app, 'a blue car')
s.set_value(app, 'Steps', 100)
for _ in range(8): ui.key('ctrl+Return')
ui._close(app.proc.pid)
ui.click(app.find('button', 'Stop and Close'))
check(app.proc.wait(20) == 0, 'stopping ends it at once')
