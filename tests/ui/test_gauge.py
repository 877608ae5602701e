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
app.find('spin button', 'Memory Limit').value = 8.0
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

# A driver's library: this machine's is not asked, but the one of ../app, which says what a file says.
nvml = os.path.join(os.path.dirname(os.path.dirname(s.PROGRAM[-1])), 'tests', 'app', 'libnvidia-ml.so.1')
if os.path.exists(nvml):
    figures = os.path.join(os.environ['HOME'], 'nvml')
    def card(total, used, ours): open(figures, 'w').write('%d %d %s\n' % (total, used, ours if ours == '-' else int(ours)))
    card(16e9, 3e9, 1e9)
    app = s.start(env={'ZIE_FAKE_VRAM': '24G', 'MOCK_NVML': figures, 'LD_LIBRARY_PATH': os.path.dirname(nvml)})
    s.tokens(app)
    ui.wait(lambda: 'Graphics memory: 16.0 GB in all, 2.0 GB used by other programs, 1.0 GB by' in s.gauge(app), 10, 'the driver’s figures')
    card(16e9, 9e9, 2e9)
    ui.wait(lambda: '7.0 GB used by other programs, 2.0 GB by' in s.gauge(app), 3, 'new figures')
    check(True, 'the driver’s figures, live')
    card(16e9, 9e9, '-')
    ui.wait(lambda: '16.0 GB in all, 9.0 GB in use; how much of that by Z-Image Studio, is not known' in s.gauge(app), 3, 'what is not known')
    check(True, 'a driver that does not know this process')
    s.end(app)
