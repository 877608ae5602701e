#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line as a person and a script meet it: test-cli.py ZIMAGE MANUAL [unittest options]

Runs on the demo model with tiny pictures; without it everything that needs a model says skipped."""

import json
import os
import pty
import re
import resource
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

ZIMAGE, MANUAL = os.path.abspath(sys.argv[1]), sys.argv[2]
COMMANDS = ["generate", "plan", "info", "models", "inspect", "tokenize", "devices", "bench"]
TINY = ["--width", "64", "--height", "64", "--steps", "2"]
STAGES = ["text", "refine", "sample", "decode"]

environment = dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm")


def run(*arguments, **options):
    options.setdefault("env", environment)
    options.setdefault("stdin", subprocess.DEVNULL)
    if "input" in options:
        del options["stdin"]
    return subprocess.run([ZIMAGE, *arguments], capture_output=True, timeout=120, **options)


def has_model():
    return run("info").returncode == 0


def read_pixels(data):
    """The bytes of the PNG file DATA, of 8 bits a channel and not interlaced, row by row without its filters."""
    at, packed = 8, b""
    while at < len(data):
        n, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IHDR":
            width, _, depth, color = struct.unpack_from(">IIBB", data, at + 8)
        packed += data[at + 8:at + 8 + n] if kind == b"IDAT" else b""
        at += n + 12
    assert depth == 8 and color in (2, 6), (depth, color)
    n, step = width * (3 if color == 2 else 4), 3 if color == 2 else 4
    raw, above, out = zlib.decompress(packed), bytes(n), bytearray()
    for start in range(0, len(raw), n + 1):
        row = bytearray(raw[start + 1:start + 1 + n])
        for i in range(n):
            a, b, c = row[i - step] if i >= step else 0, above[i], above[i - step] if i >= step else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[i] = (row[i] + (0, a, b, (a + b) // 2, nearest)[raw[start]]) % 256
        out += row
        above = row
    return bytes(out)


needs_model = unittest.skipUnless(has_model(), "the demo model is not here")


class Folder(unittest.TestCase):
    """Each test in a folder of its own."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="test-cli-")
        self.addCleanup(shutil.rmtree, self.folder)


    def zimage(self, *arguments, status=0, **options):
        done = run(*arguments, cwd=self.folder, **options)
        self.assertEqual(done.returncode, status, done.stderr.decode(errors="replace"))
        return done

    def files(self, folder="."):
        return sorted(os.listdir(os.path.join(self.folder, folder)))

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def write(self, name, content):
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(content)

    def lines(self, done):
        return [json.loads(line) for line in done.stdout.decode().splitlines()]


class Help(Folder):
    def test_commands_and_options_are_in_the_manual(self):
        with open(MANUAL, encoding="utf-8") as file:
            manual = file.read().replace("\\-", "-")
        overview = self.zimage("--help").stdout.decode()
        for command in COMMANDS:
            self.assertIn(command, overview)
            self.assertIn(".B " + command + "\n", manual)
            text = self.zimage(command, "--help").stdout.decode()
            self.assertEqual(text, self.zimage("help", command).stdout.decode())
            for option in re.findall(r"--[a-z][a-z-]+", text):
                if option != "--help":
                    self.assertIn(option, manual, f"{command} {option}")

    def test_version(self):
        self.assertRegex(self.zimage("--version").stdout.decode(), r"^zimage \d+\.\d+\.\d+\n$")

    def test_nothing_asked(self):
        done = self.zimage(status=2)
        self.assertEqual(done.stdout, b"")
        self.assertIn(b"zimage generate", done.stderr)

    def test_unknown_command(self):
        self.assertIn(b"paint", self.zimage("paint", status=2).stderr)

    def test_devices(self):
        devices = [line for line in self.lines(self.zimage("devices", "--json")) if "left_out" not in line]
        self.assertEqual(devices[-1]["backend"], "ref")
        for device in devices:
            self.assertGreater(device["memory_total"], 0)
            self.assertGreater(device["threads"], 0)
        self.assertIn(devices[0]["name"], self.zimage("devices").stdout.decode())


class Refusals(Folder):
    """Before any work, with one sentence, and nothing left behind."""

    def refused(self, status, words, *arguments, **options):
        done = self.zimage("generate", *arguments, status=status, **options)
        sentence = done.stderr.decode()
        self.assertRegex(sentence, r"\Azimage: [^\n]+\n\Z")
        for word in words:
            self.assertIn(word, sentence)
        self.assertEqual(done.stdout, b"")
        self.assertEqual(self.files(), [])

    def test_command_line(self):
        self.refused(2, ["--prompt"])
        self.refused(2, ["hello", "--prompt"], "hello")
        self.refused(2, ["--prompts-file"], "-p", "a", "--prompts-file", "b")
        self.refused(2, ["--bogus"], "-p", "a", "--bogus")
        self.refused(2, ["--device", "auto"], "-p", "a", "--device", "toaster")
        self.refused(2, ["--threads"], "-p", "a", "--threads", "0")

    @needs_model
    def test_sizes(self):
        self.refused(2, ["width", "65", "64", "80"], "-p", "a", "--width", "65", "--height", "64")
        self.refused(2, ["height", "100000"], "-p", "a", "--width", "64", "--height", "100000")
        self.refused(2, ["width", "0"], "-p", "a", "--width", "0", "--height", "64")
        self.refused(2, ["--width", "--height"], "-p", "a", "--width", "64")
        self.refused(2, ["--height", "--width"], "-p", "a", "--height", "64")
        self.refused(2, ["--preset"], "-p", "a", "--preset", "square-512", "--width", "64", "--height", "64")
        presets = json.loads(self.zimage("info", "--json").stdout)["presets"]
        self.refused(2, ["nonesuch"] + [preset["id"] for preset in presets], "-p", "a", "--preset", "nonesuch")

    @needs_model
    def test_numbers(self):
        for option, value in [("steps", "x"), ("steps", "0"), ("seed", "-1"), ("seed", "18446744073709551616"),
                              ("guidance", "nan"), ("guidance", "1e9"), ("batch", "0"), ("noise", "tpu"),
                              ("dtype", "f8"), ("sampler", "ddim"), ("ram-budget", "6X"), ("cfg-truncation", "2")]:
            with self.subTest(option=option):
                name = {"batch": "batch", "cfg-truncation": "cfg"}.get(option, option)
                self.refused(2, [name], "-p", "a", "--" + option, value)

    @needs_model
    def test_prompts(self):
        self.refused(2, ["prompt", "empty"], "-p", "")
        self.refused(2, ["prompt"], "-p", " \n")
        self.refused(2, ["U+0001"], "-p", "a\x01b")
        self.refused(2, ["UTF-8"], "-p", b"caf\xe9")
        long = "a " * 591 + "a"
        n_ids = len(self.zimage("tokenize", "--template", long).stdout.split())
        self.refused(2, [str(n_ids), "512", "--truncate"], "-p", long)
        self.refused(2, ["NUL"], "-p", "-", input=b"a\0b")
        self.refused(2, ["prompt"], "-p", "-", input=b"\n")

    @needs_model
    def test_prompts_file(self):
        path = os.path.join(tempfile.gettempdir(), f"prompts-{os.getpid()}.txt")
        self.addCleanup(os.unlink, path)
        with open(path, "wb") as file:
            file.write(b"fine\n\ncaf\xe9\n")
        self.refused(2, ["line 3", "UTF-8"], "--prompts-file", path)
        with open(path, "wb") as file:
            file.write(b"\n \n")
        self.refused(2, ["no prompt"], "--prompts-file", path)
        self.refused(1, ["/nonexistent"], "--prompts-file", "/nonexistent")

    @needs_model
    def test_images(self):
        self.refused(2, ["--init-image"], "-p", "a", "--mask", "m.png")
        self.refused(2, ["--init-image"], "-p", "a", "--strength", "0.5")
        self.refused(1, ["/nonexistent.png"], "-p", "a", "--init-image", "/nonexistent.png")

    def test_model_folder(self):
        self.refused(1, ["/nonexistent", "diffusers directory"], "-p", "a", "--model", "/nonexistent")

    @needs_model
    def test_output_folder(self):
        self.refused(1, ["/nonexistent/folder"], "-p", "a", *TINY, "-o", "/nonexistent/folder/a.png")
        self.refused(2, [".png"], "-p", "a", *TINY, "-o", "a.jpg")
        self.refused(1, ["/proc", "--output"], "-p", "a", *TINY, "-o", "/proc/a.png")
        self.refused(1, ["/proc"], "-p", "a", *TINY, "--preview-dir", "/proc/previews")
        self.refused(1, ["/proc"], "-p", "a", *TINY, "--report", "/proc/report.txt")
        self.refused(1, ["/nonexistent/folder"], "-p", "a", *TINY, "--report", "/nonexistent/folder/report.txt")

    @needs_model
    def test_memory(self):
        done = self.zimage("generate", "-p", "a", "--ram-budget", "10M", status=1)
        self.assertIn(b"10.0", done.stderr)
        self.assertEqual(self.files(), [])

    @needs_model
    def test_disk_full(self):
        script = 'mount -t tmpfs -o size=64k none "$1" && cd "$1" && exec "$2" generate -p a --seed 1'
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", self.folder, ZIMAGE], capture_output=True,
                              env=environment, timeout=120)
        if done.returncode != 1 or b"zimage: " not in done.stderr:
            self.skipTest("no file system of our own: " + done.stderr.decode(errors="replace").strip())
        self.assertIn(b"full", done.stderr)


@needs_model
class Broken(Folder):
    """Models that lack something: which file, what was expected."""

    def setUp(self):
        super().setUp()
        source = json.loads(self.zimage("info", "--json").stdout)["path"]
        self.model = os.path.join(self.folder, "model")
        shutil.copytree(source, self.model, copy_function=os.symlink)

    def refused(self, *words):
        done = self.zimage("generate", "-p", "a", *TINY, "--model", self.model, "-o", "a.png", status=1)
        for word in words:
            self.assertIn(word, done.stderr.decode())
        self.assertEqual(self.files(), ["model"])

    def replace(self, name, content):
        path = os.path.join(self.model, name)
        os.unlink(path)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)

    def test_missing_config(self):
        self.replace("transformer/config.json", None)
        self.refused("transformer/config.json")

    def test_wrong_config(self):
        with open(os.path.join(self.model, "transformer/config.json"), encoding="utf-8") as file:
            config = json.load(file)
        config["dim"] = config["dim"] + 128
        self.replace("transformer/config.json", json.dumps(config).encode())
        self.refused("transformer")

    def test_not_json(self):
        self.replace("vae/config.json", b"{")
        self.refused("vae/config.json")

    def test_cut_weights(self):
        folder = os.path.join(self.model, "transformer")
        name = next(name for name in sorted(os.listdir(folder)) if name.endswith((".safetensors", ".gguf")))
        with open(os.path.join(folder, name), "rb") as file:
            half = file.read()[:4096]
        self.replace("transformer/" + name, half)
        self.refused(name)

    def test_missing_tokenizer(self):
        self.replace("tokenizer/tokenizer.json", None)
        self.refused("tokenizer.json")


@needs_model
class Generate(Folder):
    def paint(self, *arguments, **options):
        return self.zimage("generate", *TINY, *arguments, **options)

    def test_same_request_same_bytes(self):
        self.paint("-p", "a cat", "--seed", "3", "-o", "a.png")
        self.paint("-p", "a cat", "--seed", "3", "-o", "b.png")
        self.paint("-p", "a cat", "--seed", "3", "-o", "c.png", "--preview-dir", "previews", "--json")
        self.paint("-p", "a cat", "--seed", "4", "-o", "d.png")
        self.assertEqual(self.read("a.png"), self.read("b.png"))
        self.assertEqual(self.read("a.png"), self.read("c.png"))
        self.assertNotEqual(self.read("a.png"), self.read("d.png"))

    def test_batch_is_the_pictures_made_alone(self):
        done = self.paint("-p", "a cat", "--seed", "18446744073709551615", "--batch", "3", "-o", "many.png")
        self.assertEqual(done.stdout.decode().split(), ["many_000.png", "many_001.png", "many_002.png"])
        for index, seed in enumerate(["18446744073709551615", "0", "1"]):
            self.paint("-p", "a cat", "--seed", seed, "-o", "one.png")
            self.assertEqual(self.read("one.png"), self.read(f"many_00{index}.png"), seed)

    def test_output_is_replaced(self):
        self.write("a.png", b"old")
        self.paint("-p", "a cat", "-o", "a.png")
        self.assertEqual(self.read("a.png")[:4], b"\x89PNG")
        self.assertEqual(self.files(), ["a.png"])

    def test_names_from_prompt(self):
        first = self.paint("-p", "A cat, on blue!", "--seed", "5").stdout.decode()
        second = self.paint("-p", "A cat, on blue!", "--seed", "5").stdout.decode()
        self.assertEqual(first, "a-cat-on-blue-5.png\n")
        self.assertEqual(second, "a-cat-on-blue-5-2.png\n")
        os.mkdir(os.path.join(self.folder, "sub"))
        third = self.paint("-p", "一只猫/" + "长" * 300, "--seed", "5", "--truncate", "-o", "sub").stdout.decode()
        self.assertEqual(third, "sub/一只猫-" + "长" * 36 + "-5.png\n")
        self.assertEqual(len(self.files("sub")), 1)

    def test_prompt_from_stdin(self):
        self.paint("-p", "a cat", "--seed", "3", "-o", "a.png")
        self.paint("-p", "-", "--seed", "3", "-o", "b.png", input=b"a cat\n")
        self.assertEqual(self.read("a.png"), self.read("b.png"))

    def test_prompts_file(self):
        self.write("prompts.txt", "\ufeffa cat\n\n# a dog\r\n".encode())
        done = self.paint("--prompts-file", "prompts.txt", "--seed", "3", "--batch", "2", "-o", "p.png")
        self.assertEqual(done.stdout.decode().split(), [f"p_00{i}.png" for i in range(4)])
        self.paint("-p", "# a dog", "--seed", "4", "-o", "alone.png")
        self.assertEqual(self.read("alone.png"), self.read("p_003.png"))

    def test_locale_does_not_touch_the_prompt(self):
        self.paint("-p", "一只猫", "--seed", "3", "-o", "a.png")
        self.paint("-p", "一只猫", "--seed", "3", "-o", "b.png", env=dict(environment, LC_ALL="C"))
        self.assertEqual(self.read("a.png"), self.read("b.png"))

    def test_previews(self):
        done = self.paint("-p", "a cat", "--preview-dir", "a/b", "--json", "-o", "a.png")
        shown = [line["file"] for line in self.lines(done) if line["event"] == "preview"]
        self.assertEqual(self.files("a/b"), [os.path.basename(name) for name in shown])
        self.assertIn("step_01.png", self.files("a/b"))

    def test_report(self):
        self.paint("-p", "a secret cat", "--batch", "2", "--seed", "5", "-o", "a.png", "--report", "report.txt")
        text = self.read("report.txt").decode()
        self.assertNotIn("secret", text)
        for line in ["program    zimage", "result     done in", "picture 2  seed 6", "arena      planned"]:
            self.assertIn(line, text)
        for stage in STAGES:
            self.assertRegex(text, rf"(?m)^{stage} +mapped .* \d+\.\d+ ")
        os.mkdir(os.path.join(self.folder, "report"))
        done = self.zimage("generate", "-p", "a cat", *TINY, "-o", "b.png", "--report", "report", status=1)
        self.assertIn(b"report", done.stderr)
        self.assertIn("b.png", self.files())

    def test_recipe(self):
        self.paint("-p", "a 'quoted' cat", "--negative", "dogs", "--guidance", "1.5", "--seed", "7", "--noise", "cuda",
                   "--shift", "2.5", "--batch", "2", "-o", "a.png")
        recipe = json.loads(self.zimage("inspect", "--json", "a_001.png").stdout)
        self.assertEqual(recipe["prompt"], "a 'quoted' cat")
        self.assertIn(8, recipe.values())
        self.assertIn(b"Steps: 2", self.zimage("inspect", "--parameters", "a_001.png").stdout)
        text = self.zimage("inspect", "a_001.png").stdout.decode()
        again = shlex.split(re.search(r"zimage generate .*", text).group())
        self.zimage(*again[1:], "-o", "again.png")
        self.assertEqual(self.read("again.png"), self.read("a_001.png"))

    def test_no_recipe(self):
        self.paint("-p", "a cat", "--preview-dir", ".", "-o", "a.png")
        self.zimage("inspect", "step_01.png", status=1)
        self.zimage("inspect", "nonesuch.png", status=1)

    def test_advice(self):
        for arguments, words in [(["--steps", "9"], ["9 steps", "8"]), (["--guidance", "3"], ["guidance"]),
                                 (["--sampler", "heun"], ["distilled for the sampler euler", "heun"])]:
            done = self.zimage("generate", "-p", "a", "--width", "32", "--height", "32", *arguments, "-o", "a.png")
            self.assertIn("warning", done.stderr.decode())
            for word in words:
                self.assertIn(word, done.stderr.decode())

    def test_without_proc(self):
        inside = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
        if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
            self.skipTest("/proc cannot be hidden here")
        done = subprocess.run([*inside, ZIMAGE, "generate", "-p", "a cat", *TINY, "-o", "a.png"], capture_output=True, check=False,
                              cwd=self.folder, env=environment)
        # The search for leaks, in a build that has it, reads /proc, its options too, and fails when all is done.
        if b"LeakSanitizer has encountered" not in done.stderr:
            self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual(self.read("a.png")[:4], b"\x89PNG")

    def test_lora(self):
        def picture(*options):
            self.zimage("generate", "-p", "a cat", *TINY, "--seed", "1", "-o", "a.png", *options)
            return read_pixels(self.read("a.png"))

        def difference(a, b):
            return max(abs(x - y) for x, y in zip(a, b))
        with open(os.path.join(json.loads(self.zimage("info", "--json").stdout)["path"], "transformer", "config.json"), encoding="utf-8") as file:
            dim = json.load(file)["dim"]
        stem = "diffusion_model.layers.0.attention.to_q."
        header = json.dumps({stem + "lora_A.weight": {"dtype": "F32", "shape": [1, dim], "data_offsets": [0, 4 * dim]},
                             stem + "lora_B.weight": {"dtype": "F32", "shape": [dim, 1], "data_offsets": [4 * dim, 8 * dim]},
                             "other.lora_A.weight": {"dtype": "F32", "shape": [1], "data_offsets": [8 * dim, 8 * dim + 4]}}).encode()
        self.write("x.safetensors", struct.pack("<Q", len(header)) + header + struct.pack("<%df" % (2 * dim + 1), *[0.3] * (2 * dim + 1)))
        plain, whole = picture(), picture("--lora", "x.safetensors")
        self.assertGreater(difference(plain, whole), 20)
        self.assertEqual(plain, picture("--lora", "x.safetensors:0"))
        # (y + a) - a is y up to a rounding, which on some processors is one level of a pixel
        self.assertLessEqual(difference(plain, picture("--lora", "x.safetensors:0.5", "--lora", "./x.safetensors:-0.5")), 1)
        self.assertLessEqual(difference(whole, picture("--lora", "x.safetensors:0.5", "--lora", "./x.safetensors:0.5")), 1)
        done = self.zimage("generate", "-p", "a cat", *TINY, "--seed", "1", "-o", "b.png", "--lora", "x.safetensors:2")
        self.assertIn("other.lora_A.weight", done.stderr.decode())
        self.assertEqual(json.loads(self.zimage("inspect", "--json", "b.png").stdout)["loras"], [{"file": "x.safetensors", "strength": 2}])
        again = shlex.split(self.zimage("inspect", "b.png").stdout.decode().split("again")[1].strip())
        self.assertIn("x.safetensors:2", again)
        self.assertIn("Loras: \"x.safetensors: 2\"", self.zimage("inspect", "--parameters", "b.png").stdout.decode())
        for option, word in [("y.safetensors", "no such LoRA"), ("x.safetensors:x", "lora"), ("x.safetensors:1e9", "strength")]:
            done = run("generate", "-p", "a", *TINY, "-o", "c.png", "--lora", option, cwd=self.folder)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(word, done.stderr.decode())

    def test_truncate(self):
        self.paint("-p", "a " * 700, "--truncate", "-o", "a.png")

    def test_init_image(self):
        self.zimage("generate", "-p", "a cat", "--width", "96", "--height", "48", "--steps", "1", "-o", "a.png")
        done = self.zimage("generate", "-p", "a dog", "--steps", "2", "--init-image", "a.png", "--strength", "0.5",
                           "--mask", "a.png", "-o", "b.png", "--json")
        image = next(line for line in self.lines(done) if line["event"] == "image")
        self.assertEqual((image["width"], image["height"]), (96, 48))

    def test_reference_device(self):
        done = self.zimage("generate", "-p", "a cat", "--width", "32", "--height", "32", "--steps", "1", "--device", "ref",
                           "--json", "-o", "a.png")
        self.assertEqual(self.lines(done)[-1]["backend"], "ref")

    def test_write_error(self):
        """The disk fills after the check: an error, and not even a temporary file stays."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        done = self.paint("-p", "a cat", "-o", "a.png", "--json", status=1, preexec_fn=limit)
        self.assertEqual(self.lines(done)[-1]["error"]["code"], "write")
        self.assertEqual(self.files(), [])

    def test_verbose(self):
        done = self.paint("-p", "a cat", "--verbose", "-o", "a.png")
        self.assertEqual(len(re.findall(r"step \d of 2: .*memory", done.stderr.decode())), 2)
        self.assertEqual(done.stdout, b"a.png\n")


@needs_model
class Machine(Folder):
    def test_json_lines(self):
        self.write("prompts.txt", b"a cat\na dog\n")
        lines = self.lines(self.zimage("generate", *TINY, "--prompts-file", "prompts.txt", "-n", "2", "-o", "p.png", "--json"))
        events = [line for line in lines if "job" in line]
        self.assertEqual([line["event"] for line in lines if line["event"] == "finished"], ["finished"] * 2)
        self.assertEqual([line["image"] for line in lines if line["event"] == "image"], [0, 1, 2, 3])
        self.assertEqual([line["time"] for line in events], sorted(line["time"] for line in events))
        for job in [1, 2]:
            names = [line["event"] for line in events if line["job"] == job]
            self.assertEqual((names[0], names[-1]), ("started", "finished"))
        result = lines[-1]
        self.assertEqual((result["event"], result["status"]), ("result", "done"))
        self.assertEqual(result["files"], [f"p_00{i}.png" for i in range(4)])
        self.assertEqual(sorted(result["stage_seconds"]), sorted(STAGES))
        self.assertGreater(result["stage_seconds"]["sample"], 0)
        self.assertGreater(result["peak_memory"]["arena"], 0)
        self.assertGreater(result["peak_memory"]["ram"], result["peak_memory"]["arena"] // 2)

    def test_json_failure(self):
        done = self.zimage("generate", "-p", "a", "--width", "65", "--height", "64", "--json", status=2)
        result = self.lines(done)[-1]
        self.assertEqual(result["status"], "failed")
        self.assertEqual(result["error"]["code"], "invalid-request")
        self.assertIn(result["error"]["message"], done.stderr.decode())

    def test_plan(self):
        plan = json.loads(self.zimage("plan", "--json", *TINY).stdout)
        self.assertTrue(plan)
        self.assertNotEqual(self.zimage("plan", *TINY).stdout, b"")
        done = self.zimage("generate", *TINY, "-p", "a cat", "-o", "a.png", "--json")
        peak = self.lines(done)[-1]["peak_memory"]["arena"]
        self.assertIn(str(peak), self.zimage("plan", "--json", *TINY, "-p", "a cat").stdout.decode())

    def test_info(self):
        info = json.loads(self.zimage("info", "--json").stdout)
        self.assertTrue(info["presets"])
        self.assertEqual(len(info["parts"]), 3)
        self.assertIn(info["name"], self.zimage("info", info["path"]).stdout.decode())
        self.assertTrue(info["complete"] and info["here"]["runs"] and info["here"]["seconds"] > 0)
        parts = [part["path"] for part in info["parts"]]
        mixed = json.loads(self.zimage("info", "--json", "--transformer", parts[0], "--text-encoder", parts[1], "--vae", parts[2]).stdout)
        self.assertEqual([part["path"] for part in mixed["parts"]], parts)

    def test_info_of_half_a_model(self):
        source = json.loads(self.zimage("info", "--json").stdout)["path"]
        shutil.copytree(source, os.path.join(self.folder, "half"), copy_function=os.symlink)
        shutil.rmtree(os.path.join(self.folder, "half", "vae"))
        half = json.loads(self.zimage("info", "--json", "half", status=1).stdout)
        self.assertFalse(half["complete"])
        self.assertIn("vae", half["missing"])
        self.assertTrue(half["parts"]["transformer"])
        self.assertIsNone(half["parts"]["vae"])

    def test_models(self):
        source = json.loads(self.zimage("info", "--json").stdout)["path"]
        names = {"HF_HOME": "hf", "HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": "", "MODELSCOPE_CACHE": "scope", "XDG_DATA_HOME": "data", "HOME": "home"}
        here = dict(environment, **{name: value and os.path.join(self.folder, value) for name, value in names.items()})
        repository = os.path.join(self.folder, "hf", "hub", "models--Someone--Some-Model")
        for folder in ["hf/hub/models--Someone--Some-Model/refs", "hf/hub/models--Someone--Some-Model/snapshots/0", "scope/models/org",
                       "home/ComfyUI/models/diffusion_models", "home/ComfyUI/models/vae"]:
            os.makedirs(os.path.join(self.folder, folder))
        shutil.copytree(source, os.path.join(repository, "snapshots", "1"), copy_function=os.symlink)
        self.write("hf/hub/models--Someone--Some-Model/refs/main", b"1\n")
        shutil.copytree(source, os.path.join(self.folder, "scope", "models", "org", "Half"), copy_function=os.symlink)
        os.remove(os.path.join(self.folder, "scope", "models", "org", "Half", "transformer", "diffusion_pytorch_model.gguf"))
        os.symlink(os.path.join(source, "transformer", "diffusion_pytorch_model.gguf"),
                   os.path.join(self.folder, "home", "ComfyUI", "models", "diffusion_models", "some-name"))
        own = os.path.join(self.folder, "data", "zimage-studio", "models", "Fetched", "diffusion_models")
        os.makedirs(own)
        os.symlink(os.path.join(source, "transformer", "diffusion_pytorch_model.gguf"), os.path.join(own, "t.gguf"))
        found = json.loads(self.zimage("models", "list", "--json", env=here).stdout)
        by_place = {model["place"]: model for model in found}
        self.assertEqual(sorted(by_place), ["ComfyUI", "Hugging Face cache", "ModelScope cache", "demo", "models folder"])
        self.assertEqual(by_place["models folder"]["name"], "Fetched")
        self.assertEqual(by_place["Hugging Face cache"]["name"], "Some-Model")
        self.assertTrue(by_place["Hugging Face cache"]["complete"])
        self.assertIn("transformer", by_place["ModelScope cache"]["missing"])
        # what the file lacks was taken from the cache beside
        self.assertTrue(by_place["ComfyUI"]["complete"])
        self.assertIn("Some-Model", by_place["ComfyUI"]["parts"]["vae"])
        self.assertFalse(found[-1]["place"] == "ModelScope cache")
        self.assertEqual(self.zimage("models", env=here).stdout, self.zimage("models", "list", env=here).stdout)
        self.zimage("models", "nonesuch", status=2)

    def test_caches_by_variable(self):
        """Each variable that tells where caches are, as the clients of the two sites read them, before those below it."""
        source = json.loads(self.zimage("info", "--json").stdout)["path"]
        here = dict(environment, HOME=self.folder, XDG_DATA_HOME=os.path.join(self.folder, "data"))
        for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "MODELSCOPE_CACHE"]:
            here.pop(name, None)
        repository = "models--Someone--Some-Model/snapshots/1"
        for variable, value, folder in [
                (None, None, ".cache/huggingface/hub/" + repository), ("XDG_CACHE_HOME", "xdg", "xdg/huggingface/hub/" + repository),
                ("HF_HOME", "~/hf", "hf/hub/" + repository), ("HUGGINGFACE_HUB_CACHE", "old", "old/" + repository), ("HF_HUB_CACHE", "new", "new/" + repository),
                (None, None, ".cache/modelscope/hub/models/someone/Some-Model"), ("MODELSCOPE_CACHE", "~/scope", "scope/models/someone/Some-Model"),
                ("MODELSCOPE_CACHE", "scope2/models", "scope2/models/someone/Some-Model")]:
            with self.subTest(variable=variable, value=value):
                path = os.path.join(self.folder, folder)
                os.makedirs(os.path.dirname(path))
                os.symlink(source, path)
                if variable:
                    here[variable] = value if value.startswith("~") else os.path.join(self.folder, value)
                found = json.loads(self.zimage("models", "list", "--json", env=here).stdout)
                self.assertIn(path, [model["path"] for model in found if model["name"] == "Some-Model"])
                self.assertLessEqual(len(found), 3)

    def test_comfy_elsewhere(self):
        """Folders that a ComfyUI's extra_model_paths.yaml names: one laid as ComfyUI does, and single ones."""
        source = json.loads(self.zimage("info", "--json").stdout)["path"]
        nowhere = os.path.join(self.folder, "nowhere")
        here = dict(environment, HOME=os.path.join(self.folder, "home"), XDG_DATA_HOME=nowhere, HF_HOME=nowhere, HF_HUB_CACHE="", MODELSCOPE_CACHE=nowhere)
        for folder in ["home/ComfyUI", "home/shared/nets", "disk/models/diffusion_models", "disk/models/vae", "other/texts"]:
            os.makedirs(os.path.join(self.folder, folder))
        for part, to in [("transformer/diffusion_pytorch_model.gguf", "disk/models/diffusion_models/one"),
                         ("vae/diffusion_pytorch_model.safetensors", "disk/models/vae/two"),
                         ("transformer/diffusion_pytorch_model.gguf", "home/shared/nets/four"),
                         ("text_encoder/model.gguf", "other/texts/three"), ("tokenizer/tokenizer.json", "other/texts/tokenizer.json")]:
            os.symlink(os.path.join(source, part), os.path.join(self.folder, to))
        self.write("home/ComfyUI/extra_model_paths.yaml", ("""#comment
comfyui:
     base_path: "%s/disk"   # where
     is_default: true
     vae: models/vae/
     diffusion_models: |
          models/diffusion_models
          models/nonesuch
     loras: models/loras
elsewhere:
    text_encoders: %s/other/texts

home:
    base_path: ~/shared
    unet: nets
    vae:
""" % (self.folder, self.folder)).encode())
        found = {model["path"]: model for model in json.loads(self.zimage("models", "list", "--json", env=here).stdout) if model["place"] == "ComfyUI"}
        one, four = (os.path.join(self.folder, name) for name in ["disk/models/diffusion_models/one", "home/shared/nets/four"])
        self.assertEqual(sorted(found), [one, four])
        for model in found.values():
            self.assertTrue(model["complete"], model)
            self.assertEqual(model["parts"]["vae"], os.path.join(self.folder, "disk/models/vae/two"))
            self.assertEqual(model["parts"]["text_encoder"], os.path.join(self.folder, "other/texts/three"))
        self.zimage("generate", "-p", "a cat", *TINY, "--model", one, "-o", "a.png", env=here)

    def test_tokenize(self):
        bare = self.zimage("tokenize", "a cat").stdout.decode()
        self.assertRegex(bare, r"\A\d+( \d+)*\n\Z")
        self.assertEqual(bare, self.zimage("tokenize", "-", input=b"a cat").stdout.decode())
        framed = self.zimage("tokenize", "--template", "a cat").stdout.decode()
        self.assertIn(bare.strip(), framed)
        self.assertEqual(self.zimage("tokenize", "").stdout, b"\n")
        self.assertNotEqual(self.zimage("tokenize", "--", "--model").stdout, b"\n")
        self.zimage("tokenize", status=2)
        self.zimage("tokenize", "a", "b", status=2)

    def test_bench(self):
        result = json.loads(self.zimage("bench", *TINY, "--runs", "2", "--warm-up", "0", "--json").stdout)
        for stage in STAGES + ["job"]:
            self.assertGreater(result[stage]["median_ms"], 0)
        self.assertEqual(self.files(), [])


@needs_model
class Cancelled(Folder):
    """A job that would take minutes, stopped."""

    def begin(self, *arguments, **options):
        # Unbuffered: communicate() does not see what readline() read ahead.
        process = subprocess.Popen([ZIMAGE, "generate", *arguments], cwd=self.folder, env=environment, bufsize=0,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.addCleanup(process.kill)
        return process

    def begin_long(self, **options):
        return self.begin("--json", "-p", "a cat", "--width", "128", "--height", "128", "--steps", "1000", "-o", "a.png",
                          **options)

    def stop(self, process, number):
        while b'"step"' not in process.stdout.readline():
            pass
        process.send_signal(number)
        start = time.monotonic()
        rest, sentence = process.communicate(timeout=30)
        self.assertLess(time.monotonic() - start, 2)
        self.assertEqual(process.returncode, 130)
        self.assertEqual(sentence.decode().splitlines()[-1], "zimage: cancelled")
        return [json.loads(line) for line in rest.decode().splitlines()]

    def test_signals(self):
        for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
            with self.subTest(number=number):
                lines = self.stop(self.begin_long(), number)
                self.assertEqual(lines[-1]["status"], "cancelled")
                self.assertEqual(lines[-2]["event"], "finished")
                self.assertEqual(self.files(), [])

    def test_finished_pictures_stay(self):
        self.write("prompts.txt", b"a cat\n" * 200)
        process = self.begin("--json", *TINY, "--prompts-file", "prompts.txt", "-o", "p.png")
        while b'"event": "image"' not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        lines = [json.loads(line) for line in rest.decode().splitlines()]
        self.assertEqual(process.returncode, 130)
        self.assertEqual(sorted(lines[-1]["files"] + ["prompts.txt"]), self.files())
        self.assertEqual(sum(line["event"] == "finished" for line in lines), 200)

    def test_ignored_signals_stay_ignored(self):
        def ignore():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        process = self.begin_long(preexec_fn=ignore)
        while b'"step"' not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGHUP)
        for _ in range(5):
            self.assertIn(b'"step"', process.stdout.readline())
        self.stop(process, signal.SIGINT)

    def test_while_waiting_for_a_prompt(self):
        process = subprocess.Popen([ZIMAGE, "generate", "-p", "-"], cwd=self.folder, env=environment,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        # Reading begins when the process sleeps on its input.
        for _ in range(1000):
            with open(f"/proc/{process.pid}/wchan", encoding="ascii") as file:
                if "pipe" in file.read():
                    break
            time.sleep(0.01)
        else:
            self.skipTest("the kernel does not say what a process waits for")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=30), 130)
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


@needs_model
class Terminal(Folder):
    def show(self, columns, locale):
        """What a terminal of so many columns receives."""
        import fcntl
        import struct
        import termios
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([ZIMAGE, "generate", "-p", "a cat", "--width", "64", "--height", "64", "--steps", "8",
                                    "-o", "a.png"], cwd=self.folder, env=dict(environment, LC_ALL=locale),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=follower)
        os.close(follower)
        shown = b""
        while True:
            ready, _, _ = select.select([leader], [], [], 60)
            try:
                chunk = os.read(leader, 65536) if ready else b""
            except OSError:
                break
            if not chunk:
                break
            shown += chunk
        os.close(leader)
        self.assertEqual(process.communicate(timeout=60)[0], b"a.png\n")
        self.assertEqual(process.returncode, 0)
        return shown.decode("utf-8")

    def frames(self, shown):
        return [frame.split("\x1b")[0] for frame in shown.split("\r") if "%" in frame]

    def test_bar(self):
        frames = self.frames(self.show(80, "C.UTF-8"))
        self.assertTrue(any("█" in frame for frame in frames))
        self.assertTrue(any("step" in frame for frame in frames))
        percents = [int(re.search(r"(\d+) %", frame).group(1)) for frame in frames]
        self.assertEqual(percents, sorted(percents))

    def test_narrow(self):
        for columns in [10, 20, 40, 60]:
            for frame in self.show(columns, "C.UTF-8").split("\r"):
                if frame.endswith("\x1b[K"):
                    self.assertLess(len(frame.split("\x1b")[0]), columns)

    def test_plain_letters(self):
        shown = self.show(80, "C")
        self.assertNotIn("█", shown)
        self.assertIn("#", shown)


if __name__ == "__main__":
    # Whoever runs the tests may ignore some (nohup does), and the program leaves ignored what it was started with.
    for stops in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(stops, signal.default_int_handler if stops == signal.SIGINT else signal.SIG_DFL)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
