# SPDX-License-Identifier: Apache-2.0
"""Pictures come and go as files: recipes of other programs, other kinds of file, drag and drop, the bin."""
import os, struct, zlib
import studio as s
from studio import ui, check

s.demo_model()
home = os.environ['HOME']

def write_png(path, width, height, text):
    """grey, with a text chunk as A1111-style tools write it"""
    def chunk(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    rows = b''.join(b'\0' + b'\x80' * width for _ in range(height))
    with open(path, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0))
                + chunk(b'tEXt', b'parameters\0' + text.encode()) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))

pictures = os.path.join(os.environ['XDG_DATA_HOME'], 'zimage-studio', 'pictures')
def start_of(name): return open(os.path.join(home, name), 'rb').read(12)

# The program is started with a picture of another one: its recipe is offered and understood.
other = os.path.join(home, 'other.png')
write_png(other, 256, 256, 'a white rabbit\nSteps: 8, Sampler: Euler, CFG scale: 1, Seed: 4711, Size: 256x256, VAE decode: blend, VAE tile size: 128')
app = s.start(other)
s.told(app, 'This picture carries its recipe', lambda: app.all('image', '^Picture: a white rabbit'))
offer = app.all('button', 'Use Recipe')               # for ten seconds; afterwards by the keyboard
ui.click(offer[0]) if offer else ui.key('ctrl+r')
s.tokens(app)
ui.wait(lambda: ui.text(s.prompt(app)) == 'a white rabbit', 10, 'the prompt')
if 'ASAN_OPTIONS' not in os.environ: app.wait_text('developed in blended tiles', 10)      # for five seconds: a sanitized tree is read more slowly
s.generate(app)
check(s.seed(app) == '4711', 'the recipe of a picture made by another program is used')

# The other kinds of file.
ui.key('ctrl+s'); ui.save_in_dialog(app, 'Save Picture', os.path.join(home, 'rabbit.jpg')); s.told_saved(app, os.path.join(home, 'rabbit.jpg'))
check(start_of('rabbit.jpg')[:3] == b'\xff\xd8\xff', 'JPEG')
ui.key('ctrl+s'); ui.save_in_dialog(app, 'Save Picture', os.path.join(home, 'rabbit.webp')); s.told_saved(app, os.path.join(home, 'rabbit.webp'))
check(start_of('rabbit.webp')[8:12] == b'WEBP', 'WebP')
ui.key('ctrl+s'); ui.save_in_dialog(app, 'Save Picture', os.path.join(home, 'again')); s.told_saved(app, os.path.join(home, 'again.webp'))
check(start_of('again.webp')[8:12] == b'WEBP', 'a name without a kind: as last time')
ui.key('ctrl+s'); ui.save_in_dialog(app, 'Save Picture', '/proc/rabbit.png')
app.wait_text('The picture could not be saved', 20)
ui.click(app.find('button', 'Close the Message'))
check(app.find('image', '^Picture: a white rabbit'), 'an error of saving is said, and the picture still there')

# The same sentence with another seed.
s.generate(app, 'ctrl+shift+r')
check(b'VAE tile size: 128' in open(s.newest_picture(), 'rb').read(), 'developed as the picture was that it comes from')
check(s.seed(app) != '4711' and ui.text(s.prompt(app)) == 'a white rabbit', 'another seed for the same sentence')

# Into the bin.
ui.wait(lambda: len(s.thumbnails(app)) == 2, 10, 'two thumbnails')
check(len(os.listdir(pictures)) == 2, 'both pictures are kept')
ui.mouse(s.thumbnails(app)[0]); ui.key('Delete')
s.told(app, 'Moved to the bin', lambda: len(s.thumbnails(app)) == 1)
ui.wait(lambda: len(s.thumbnails(app)) == 1, 10, 'one thumbnail to go')
check(len(os.listdir(pictures)) == 1, 'the file has gone')
check(len(os.listdir(os.path.join(os.environ['XDG_DATA_HOME'], 'Trash', 'files'))) == 1, 'to the bin')

# A picture dragged out of the strip and dropped on the canvas: as if it came from a folder.
s.make(app, 'a green frog')
thumbs = ui.wait(lambda: len(s.thumbnails(app)) == 2 and s.thumbnails(app), 10, 'two thumbnails')
ui.drag(thumbs[1], app.find('image', '^Picture: a green frog'))
s.told(app, 'This picture carries its recipe', lambda: s.seed(app) == '4711')
check(s.seed(app) == '4711', 'a picture that is dragged out and dropped is shown, its recipe offered')

# A LoRA is added by a dialog, has a strength, is in the recipe of the picture, and is removed.
s.write_lora(os.path.join(home, 'softer.safetensors'))
ui.wheel(app.find('label', '^Seed$'), 20)
s.unfold(app, 'LoRAs')
ui.wheel(app.find('label', '^Seed$'), 20)
ui.mouse(app.find('label', '^Add LoRA…$'))
ui.save_in_dialog(app, 'Add LoRA', os.path.join(home, 'softer.safetensors'))
app.find('spin button', '^Strength of softer').value = 0.7
s.make(app, 'a white rabbit')
ui.wait(lambda: b'softer' in open(s.newest_picture(), 'rb').read(), 10, 'the LoRA in the recipe')
check(b'0.7' in open(s.newest_picture(), 'rb').read(), 'a LoRA is named in the recipe, with its strength')
ui.click(app.find('button', '^Remove softer'))
app.gone('spin button', '^Strength of softer')
check(True, 'and is removed')

# What the jobs took, as a text for a report.
ui.key('F10'); ui.click(s.menu_item(app, '^_?Save _?Report…$', 2))
ui.save_in_dialog(app, 'Save Report', os.path.join(home, 'report.txt'))
s.told_saved(app, os.path.join(home, 'report.txt'))
report = open(os.path.join(home, 'report.txt')).read()
check('sample' in report and 'rabbit' not in report, 'a report is saved, without prompts')
s.end(app)
