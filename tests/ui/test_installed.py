# SPDX-License-Identifier: Apache-2.0
"""The installed window makes a picture, in German; tests/test-install.py runs it where there is nothing but what was installed."""
import os
import studio as s
from studio import ui, check

s.settings()
app = s.start(env={**s.KEYFILE, 'LANGUAGE': 'de', 'LC_ALL': 'C.UTF-8'})
app.find('button', 'Erzeugen', 20)
ui.wait(lambda: app.all('label', r'^\d+ von \d+ Token'), 20, 'the demo model to be open')
check(True, 'the installed window opens the installed model, and speaks German')
ui.key('ctrl+l'); ui.type_text('a red apple'); ui.key('ctrl+Return')
ui.wait(lambda: app.all('label', r'· Seed \d+ ·|· Startwert \d+ ·'), 60, 'the picture')
pictures = os.path.join(os.environ['XDG_DATA_HOME'], 'zimage-studio', 'pictures')
ui.wait(lambda: os.path.isdir(pictures) and len(os.listdir(pictures)) == 1, 10, 'its file')
check(True, 'and makes a picture')
s.end(app)
