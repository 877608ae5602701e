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
s.set_value(app, 'Pictures', 3)
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
ui.wait(lambda: s.get_value(app, 'Pictures') == 3, 10, 'the number of pictures')
check(True, 'the number of pictures survived')
ui.key('ctrl+comma')
check(abs(app.find('spin button', 'Memory Limit').queryValue().currentValue - 3.0) < 0.06, 'the preferences say so too')
ui.key('Escape')
s.end(app)
