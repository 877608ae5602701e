# SPDX-License-Identifier: Apache-2.0
"""How soon after its start the window shows what is typed.  Looked for on the screen: to tell a screen reader for the first time what
is there takes the program a third of a second more."""
import time
import studio as s
from studio import ui, check

WANTED, LIMIT = 0.7, 3.0        # seconds, of a quiet machine and of one that runs other tests beside this one

def n_different(a, b): return sum(a[i:i + 3] != b[i:i + 3] for i in range(0, len(a), 4))

def look_once():
    """where the first letter of the prompt stands, and how it looks; every start has it at the same place"""
    app = s.start()
    s.tokens(app)
    x, y = ui.place(s.prompt(app)); _, _, width, height = s.prompt(app).extents()
    screen = ui.Screen(x - width // 2 + 12, y - height // 2 + 8, 7, 24)
    without = screen.read()
    s.write_prompt(app, 'aaa')                 # the caret stands elsewhere
    ui.wait(lambda: n_different(without, screen.read()) > 20, 10, 'the letter to be drawn')
    time.sleep(.5)
    letter = screen.read()
    s.end(app)
    return lambda: n_different(letter, screen.read()) <= 7      # the caret

def time_start(is_drawn):
    """typed again and again, as the window manager says that the window is in front before it has the keyboard"""
    app = s.start(launch=ui.launch)
    check(not is_drawn(), 'there is nothing before it was typed')
    def until(test):
        while not test():
            if time.monotonic() - app.began > 60: raise ui.Missing('waited for the window to take what is typed')
            time.sleep(.005)
    until(lambda: ui.is_in_front(app))
    def takes_input():
        ui.type_text('a')
        return is_drawn()
    until(takes_input)
    took = time.monotonic() - app.began
    print('%.2f s from the start to a letter in the prompt' % took, flush=True)
    s.end(app)
    return took

s.demo_model()
is_drawn = look_once()
best = time_start(is_drawn)
for _ in range(2):
    if best > WANTED: best = min(best, time_start(is_drawn))
check(best <= LIMIT, 'the window takes input after %.2f s; wanted are %.1f s, and allowed here %g s' % (best, WANTED, LIMIT))
