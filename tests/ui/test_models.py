# SPDX-License-Identifier: Apache-2.0
"""A newcomer gets a model: from the demo to one that was fetched, with a pause, a broken server and a repair on the way."""
import json, os, sys
import studio as s
from studio import ui, check
from names import look
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'hub'))
from hubserver import HubServer, read_model

home = os.environ['HOME']
server = HubServer(read_model(s.demo_model()))
catalogue = os.path.join(home, 'catalogue.json')
own = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'data', 'catalogue.json')))
for model in own['models']: model['recommended'] = False
server.write_catalogue(catalogue, own['models'])
env = dict(s.KEYFILE, ZIE_CATALOGUE=catalogue, HF_ENDPOINT=server.endpoint, HF_HOME=home, GIO_USE_PROXY_RESOLVER='dummy')
path = os.path.join(os.environ.get('XDG_DATA_HOME', os.path.join(home, '.local/share')), 'zimage-studio', 'models', 'Small')

def shoot(name):
    if '--pictures' in os.environ.get('ZIS_TEST', ''): ui.time.sleep(.6); ui.screenshot(name)

s.settings(window_width=980, window_height=780)
app = s.start(env=env)
s.tokens(app)
shoot('models-first.png')
ui.click(app.find('button', 'Get the _?Real Model'))
check(app.find('label', r'^Comes with the program'), 'the page says what is here')
check(app.find('label', r'MB · Licence: Apache-2.0'), 'what the model weighs, and its licence')
check(app.find('label', '^20.7.GB · Licence: Apache-2.0'), 'and of the others')
look(app, 'models')
shoot('models-page.png')

# A server that lacks a file: what is wrong and what to do, and again when it has it.
server.broken.add('vae/config.json')
ui.click(app.find('button', '^Fetch Small'))
app.find('label', 'server does not have this model', 20)
check(app.find('label', '404'), 'the answer of the server is told')
look(app, 'a model that could not be fetched')
shoot('models-error.png')
server.broken.clear()
server.flow.clear()
ui.click(app.find('button', '^Try again to fetch Small'))

# Half of it, a pause, and on.
app.find('label', r'^[\d.]+.[kM]B of ', 20)
look(app, 'a model that is being fetched')
shoot('models-progress.png')
ui.click(app.find('button', '^Pause fetching Small'))
app.find('label', '^Paused · ', 10)
check(not os.path.exists(path), 'half a model is none')
shoot('models-paused.png')
server.flow.set()
ui.click(app.find('button', '^Go on fetching Small'))
ui.click(app.find('button', '^Use Small', 30))
check(os.path.isdir(path), 'the model is there')
app.find('button', '^Small is in use', 10)
shoot('models-done.png')
ui.key('Escape')
ui.wait(lambda: s.tokens(app), 20, 'the model to be opened')
s.make(app, 'a red apple')
check(True, 'and paints')

# Repair finds what no size tells.
name = os.path.join(path, 'vae', 'diffusion_pytorch_model.safetensors')
good = open(name, 'rb').read()
with open(name, 'r+b') as f: f.seek(5000); f.write(bytes([good[5000] ^ 1]))
server.paths.clear()
ui.key('F10'); ui.click(s.menu_item(app, '^_?Models…$', 4))
ui.click(app.find('button', '^Check and repair Small'))
ui.wait(lambda: open(name, 'rb').read() == good if os.path.exists(name) else False, 20, 'the file to be mended')
check(server.paths == ['/org/small/resolve/abc/vae/diffusion_pytorch_model.safetensors'], 'only what was damaged is fetched')
app.find('button', '^Small is in use', 10)
ui.key('Escape')

# A part of it that is picked by hand; what is no such part is named, and so is its way out.
def parts(is_any=False):
    """opens the page; where parts are picked they are shown"""
    ui.key('F10'); ui.click(s.menu_item(app, '^_?Models…$', 4))
    app.find('button', '^Use Demo Model')        # what is found moves everything else
    if not is_any: s.unfold(app, 'Parts by Hand')
vae = os.path.join(os.path.realpath(s.demo_model()), 'vae', 'diffusion_pytorch_model.safetensors')
wrong = os.path.join(os.environ['HOME'], 'wrong.safetensors')
with open(wrong, 'w') as f: f.write('this is no model')
for path in (vae, wrong):
    parts(is_any=path == wrong)
    ui.click(app.find('button', '^Choose a VAE'))
    ui.save_in_dialog(app, 'Choose a VAE', path)
    app.find('label', '1 part is chosen by hand')
    ui.key('Escape')
    if path == vae:
        s.tokens(app)
        s.make(app, 'a green frog')
        check(True, 'a VAE that was chosen by hand is used')
app.find('label', 'cannot be used with these parts', 20)
check(app.find('label', 'wrong.safetensors'), 'what is no VAE is named')
ui.click(app.all('button', '^_?Use Its Own Parts')[-1])       # GTK 4.8 also tells of the one on the page behind the picture
s.make(app, 'a green frog')
ui.key('F10'); ui.click(s.menu_item(app, '^_?Models…$', 4))
app.find('button', '^Small is in use', 10)
check(True, 'without it all is as before')

# Taken back where it was picked, the same.
s.unfold(app, 'Parts by Hand')
look(app, 'parts by hand')
ui.click(app.find('button', '^Choose a VAE'))
ui.save_in_dialog(app, 'Choose a VAE', vae)
app.find('label', '1 part is chosen by hand')
ui.click(app.find('button', 'Model’s Own VAE'))
app.find('label', '^Single files in place')
app.find('button', '^Small is in use', 10)
check(True, 'a part that is taken back leaves the model in use')
ui.key('Escape')
s.end(app)
server.close()
