# SPDX-License-Identifier: Apache-2.0
"""Preferences and what was written survive a restart."""
import os
import studio as s
from studio import ui, check

s.demo_model()
env = {'GSETTINGS_BACKEND': 'keyfile'}
app = s.start(env=env)
s.tokens(app)
s.write_prompt(app, 'a yellow umbrella')
ui.click(app.find(None, '^512 × 512'))
ui.key('ctrl+comma')
limit = app.find('spin button', 'Memory Limit')
limit.queryValue().currentValue = 3.0
ui.click(app.find(None, '^Keep Pictures$') if not app.all('check box', 'Keep Pictures') else app.find('check box', 'Keep Pictures'))
ui.key('Escape')
ui.wait(lambda: 'limit is 3' in s.gauge(app), 10, 'the limit in the gauge')
s.end(app)

app = s.start(env=env)
s.tokens(app)
check(ui.text(s.prompt(app)) == 'a yellow umbrella', 'the prompt is still there')
ui.wait(lambda: 'limit is 3' in s.gauge(app), 10, 'the limit in the gauge')
check(True, 'the limit survived')
ui.wait(lambda: any(a.getState().contains(ui.pyatspi.STATE_CHECKED) or a.getState().contains(ui.pyatspi.STATE_PRESSED)
                    for a in app.all(None, '^512 × 512')), 10, 'the size to be chosen')
check(True, 'the size survived')
ui.key('ctrl+comma')
check(abs(app.find('spin button', 'Memory Limit').queryValue().currentValue - 3.0) < 0.06, 'the preferences say so too')
ui.key('Escape')
s.end(app)
