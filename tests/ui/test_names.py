# SPDX-License-Identifier: Apache-2.0
"""Every control has a name for a screen reader, in every state of the window that the other tests do not come by."""
import os
import studio as s
from studio import ui, check
from names import gtk, look

# What is not there at first: a LoRA, earlier prompts, and tiles that are blended.
model = s.demo_model()
lora = os.path.join(os.environ['HOME'], 'softer.safetensors')
s.write_lora(lora)
s.settings(last_model="'%s'" % os.path.realpath(model), loras="[('%s', 0.0)]" % lora, prompt_history="['a cat', 'a dog']", decode="'blend'")
app = s.start(env=s.KEYFILE)
s.tokens(app)
look(app, 'empty')
for row, control in (('LoRAs', ('spin button', '^Strength of softer')), ('Advanced', ('spin button', '^Steps')), ('Custom Size', ('spin button', '^Width'))):
    s.unfold(app, row, control)
check(app.find('spin button', '^Strength of softer'), 'a LoRA has its row')
look(app, 'expanded')
ui.mouse(app.find('button', '^Earlier Prompts')); app.find('label', '^a dog$')
look(app, 'earlier prompts')
# A popover that has just come is not yet the one that is given the keys.
ui.wait(lambda: ui.key('Escape') or not app.all('label', '^a dog$'), 10, 'the popover to close')
s.write_prompt(app, 'a red apple')
ui.key('ctrl+Return'); app.find('button', '^_?Cancel', 20)
look(app, 'generating')
s.wait_done(app)
look(app, 'done')
if gtk(app) >= (4, 14):      # earlier ones cannot
    said = []
    ui.wait(lambda: said.extend(ui.reader.announcements()) or said, 10, 'an announcement')
    check(said == ['Your picture is ready'], 'a screen reader says that it is ready, and no steps: %s' % said)
ui.key('ctrl+m'); app.wait_text('This picture takes', 10)
look(app, 'plan')
ui.key('Escape')
ui.key('ctrl+comma'); app.find(None, 'Memory Limit', 10)
check(app.find('spin button', '^Tile Size') and app.find('spin button', '^Overlap'), 'tiles have their rows')
look(app, 'preferences')
ui.key('Escape')
s.set_value(app, 'Steps', 40)
ui.resize(app, 370, 640)                    # 360 without the frame; what does not fit there is a warning, and those are fatal
for _ in range(3): ui.key('ctrl+Return')
app.find(None, '[23] pictures to make', 10)
look(app, 'narrow, generating')
ui.key('F9'); ui.time.sleep(.5)
look(app, 'narrow, the panel')
ui.key('F9'); ui.key('ctrl+j'); app.find('button', '^Move Up')
look(app, 'queue')
ui.click(app.find('button', 'Cancel _?All'))
app.gone('button', '^_?Cancel', 10)
s.end(app)
