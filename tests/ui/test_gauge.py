# SPDX-License-Identifier: Apache-2.0
"""The gauge of a card that is not there: total, others, ours, plan and limit, heard as a screen reader hears them."""
import os
import studio as s
from studio import ui, check

s.demo_model()
figures = os.path.join(os.environ['HOME'], 'vram')
def card(total, others, ours): open(figures, 'w').write('%d %d %d\n' % (total, others, ours))

card(24e9, 5e9, 1e9)
app = s.start(env={'ZIE_FAKE_VRAM': figures})
s.tokens(app)
ui.wait(lambda: 'Graphics memory: 24.0 GB in all, 5.0 GB used by other programs, 1.0 GB by Z-Image Studio.' in s.gauge(app), 10, 'figures')
check(True, 'total, others and ours')
ui.wait(lambda: 'This picture needs ' in s.gauge(app), 10, 'the plan')
check(True, 'the plan’s peak')
card(24e9, 11e9, 2e9)
ui.wait(lambda: '11.0 GB used by other programs, 2.0 GB by' in s.gauge(app), 3, 'new figures')
check(True, 'it is live')
ui.key('ctrl+comma')
app.find('spin button', 'Memory Limit').queryValue().currentValue = 8.0
ui.key('Escape')
ui.wait(lambda: 'The limit is 8' in s.gauge(app), 10, 'the limit')
check(True, 'the limit')
ui.key('ctrl+m'); app.wait_text('This picture takes', 10)
check(app.find('label', 'Work memory'), 'a click shows the plan, stage by stage')
ui.key('Escape')
s.end(app)

app = s.start()
s.tokens(app)
ui.wait(lambda: s.gauge(app).startswith('Memory: '), 10, 'the RAM')
check(True, 'on the CPU it shows RAM')
s.end(app)
