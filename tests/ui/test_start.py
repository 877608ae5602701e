# SPDX-License-Identifier: Apache-2.0
"""How soon after its start the window takes what is typed."""
import time
import studio as s
from studio import ui, check

WANTED, LIMIT = 0.7, 3.0        # seconds, of a quiet machine and of one that runs other tests beside this one

def time_start():
    app = s.start(launch=ui.launch)
    ui.wait(lambda: ui.is_in_front(app), 30, 'the window to have the focus')
    def takes_input():
        ui.type_text('a')
        return any('a' in ui.text(prompt) for prompt in app.all('text', '^Prompt'))
    ui.wait(takes_input, 10, 'the prompt to have what was typed')
    took = time.monotonic() - app.began
    print('%.2f s from the start to a letter in the prompt' % took, flush=True)
    s.end(app)
    return took

s.demo_model()
best = time_start()
for _ in range(2):
    if best > WANTED: best = min(best, time_start())
check(best <= LIMIT, 'the window takes input after %.2f s; wanted are %.1f s, and allowed here %g s' % (best, WANTED, LIMIT))
