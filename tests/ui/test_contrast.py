# SPDX-License-Identifier: Apache-2.0
"""What is read stands out from what it stands on, in the light and the dark style and in high contrast: the ratio of WCAG 2,
measured in the window's own pixels.  Text has at least 4.5:1, the gauge's parts 3:1.

For GTK 4.8: later versions tell places that are some pixels off, by the padding of what a widget is in."""
import collections, itertools, os, subprocess, time
import studio as s
from studio import ui, check

TEXT, GRAPHICS = 4.5, 3.0

def luminance(rgb):
    def linear(c): return c / 12.92 if c <= .04045 else ((c + .055) / 1.055) ** 2.4
    r, g, b = (linear(c / 255) for c in rgb)
    return .2126 * r + .7152 * g + .0722 * b

def ratio(a, b):
    low, high = sorted((luminance(a), luminance(b)))
    return (high + .05) / (low + .05)

class Screen:
    def __init__(self):
        data = subprocess.run(['import', '-silent', '-window', 'root', '-depth', '8', 'ppm:-'], stdout=subprocess.PIPE, check=True).stdout
        head, _, self.pixels = data.partition(b'\n255\n')
        self.width, self.height = map(int, head.split()[1:])
    def rows(self, a):
        """the colours of a widget's place, row by row"""
        _, _, width, height = a.extents()
        x, y = ui.place(a)
        x, y = max(0, x - width // 2), max(0, y - height // 2)
        for row in range(y, min(self.height, y + height)):
            line = self.pixels[3 * (row * self.width + x):3 * (row * self.width + min(self.width, x + width))]
            yield list(zip(line[0::3], line[1::3], line[2::3]))

def colours_of(rows):
    """the commonest one, and all"""
    colours = collections.Counter(colour for row in rows for colour in row)
    return colours.most_common(1)[0][0], colours

def text_ratio(rows):
    """of the ground to the colour that differs most from it: the middle of a letter's strokes"""
    ground, colours = colours_of(rows)
    return max(ratio(ground, colour) for colour in colours)

def is_active(a):
    """whether it can be used; what cannot may be dim"""
    while a.parent is not None and a.role not in ('push button', 'button', 'toggle button', 'list item', 'combo box', 'frame'): a = a.parent
    return ui.enabled(a)

def is_within(a):
    """whether all of it is in its window, and not scrolled out"""
    (x, y, width, height), (left, top, full_width, full_height) = a.extents(), ui._frame(a).extents()
    return min(width, height) > 0 and left <= x and top <= y and x + width <= left + full_width and y + height <= top + full_height

def labels(app):
    return [a for a in app.root().walk()
            if a.role == 'label' and ui.shown(a) and a.name not in ('', 'GtkLabel') and is_within(a) and is_active(a)]

def find_bars(app):
    """others' memory, ours, and what is free, from left to right, in each row of pixels that has them; what is narrow lies between"""
    button = next(a for a in app.all() if 'in all' in a.name)
    bars = []
    for row in Screen().rows(button):
        runs = [(colour, len(list(same))) for colour, same in itertools.groupby(row)]
        wide = [colour for colour, length in runs if length > 20]
        if len(wide) == 3: bars.append((wide, [colour for colour, length in runs if length == 2]))
    return bars

def measure_gauge(app, state):
    bars = ui.wait(lambda: find_bars(app), 10, 'the three parts of the gauge')
    (others, ours, free), between = bars[len(bars) // 2]
    ratios = ratio(others, free), ratio(ours, free)
    check(free in between and min(ratios) >= GRAPHICS, '%s: the gauge’s parts have %.1f:1 and %.1f:1, and its ground between them' % (state, *ratios))

def measure(app, state, measured):
    """the texts that were not MEASURED before: what is on a hidden page keeps its place"""
    screen, found = Screen(), {}
    for a in labels(app):
        if a.name in measured: continue
        found[a.name] = text_ratio(screen.rows(a))
    faintest = sorted(found, key=found.get)
    check(found and found[faintest[0]] >= TEXT, '%s: %d texts, at least %.1f:1 (%s)'
          % (state, len(found), min(found.values()), ', '.join('%.1f %s' % (found[f], f.replace('\n', ' ')[:40]) for f in faintest[:3])))
    return set(found)

def each_style(app, state, measured=frozenset()):
    for style in ('light', 'dark'):
        s.settings(style="'%s'" % style)
        ui.wait(lambda: (luminance(colours_of(Screen().rows(app.find('label', '^Size$')))[0]) < .2) == (style == 'dark'), 10, 'the style')
        time.sleep(.3)
        found = measure(app, '%s, %s' % (style, state), measured)
        if not measured: measure_gauge(app, '%s, %s' % (style, state))
    return found

s.demo_model()
figures = os.path.join(os.environ['HOME'], 'vram')
with open(figures, 'w') as f: f.write('%d %d %d\n' % (1e9, 3e8, 3e8))
for contrast in ('', ', high contrast'):
    s.settings(style="'light'")
    app = s.start(env={**s.KEYFILE, 'ZIE_FAKE_VRAM': figures, **({'ADW_DEBUG_HIGH_CONTRAST': '1'} if contrast else {})})
    s.tokens(app)
    found = each_style(app, 'no picture' + contrast)
    s.make(app, 'a red apple on a blue background')
    found |= each_style(app, 'a picture' + contrast, found)
    ui.key('ctrl+comma'); app.find(None, 'Memory Limit', 10)
    each_style(app, 'preferences' + contrast, found)
    ui.key('Escape')
    ui.wait(lambda: len(ui._windows(app.proc.pid)) == 1, 10, 'the preferences to go')
    s.end(app)
