#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""zimage models catalogue, fetch and repair, from a server of this program: test-models.py ZIMAGE DEMO_MODEL MANUAL [unittest options]

What is fetched is the demo model, so that it can be used afterwards."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from hubserver import HubServer, read_model

ZIMAGE, DEMO, MANUAL = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
class Models(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = read_model(DEMO)

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="test-models-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.server = HubServer(self.data)
        self.addCleanup(self.server.close)

        self.environment = {key: value for key, value in os.environ.items() if key not in ("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE")}
        self.environment.update(HOME=self.folder, XDG_DATA_HOME=self.folder, XDG_CACHE_HOME=self.folder, LC_ALL="C.UTF-8",
                                HF_ENDPOINT=self.server.endpoint, GIO_USE_PROXY_RESOLVER="dummy",
                                ZIE_CATALOGUE=os.path.join(self.folder, "catalogue.json"))
        self.models = os.path.join(self.folder, "zimage-studio", "models")
        self.path = os.path.join(self.models, "Small")
        self.server.write_catalogue(self.environment["ZIE_CATALOGUE"])

    def zimage(self, *arguments, status=0, **options):
        done = subprocess.run([ZIMAGE, *arguments], capture_output=True, env=self.environment, stdin=subprocess.DEVNULL, timeout=60, text=True,
                              **options)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def catalogue(self):
        return json.loads(self.zimage("models", "catalogue", "--json").stdout)[0]

    def listed(self):
        """Paths of usable models besides the demo."""
        return [model["path"] for model in json.loads(self.zimage("models", "list", "--json").stdout)
                if model["complete"] and model["place"] != "demo"]

    def start_and_hold(self):
        """A fetch of which the server holds the second half back."""
        self.server.flow.clear()
        process = subprocess.Popen([ZIMAGE, "models", "fetch"], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while self.catalogue()["bytes_there"] < 100000 and time.monotonic() < end:
            time.sleep(0.05)
        return process

    def test_fetched_model_is_found_and_used(self):
        self.assertEqual(self.catalogue()["state"], "absent")
        done = self.zimage("models", "fetch")
        self.assertEqual(done.stdout, self.path + "\n")
        self.assertIn("Apache-2.0", done.stderr)
        self.assertEqual(self.catalogue()["state"], "there")
        self.assertEqual(self.listed(), [self.path])
        self.assertEqual(json.loads(self.zimage("info", "--json", self.path).stdout)["path"], self.path)
        self.assertIn(self.path, self.zimage("models", "catalogue").stdout)
        self.assertEqual(os.listdir(self.models), ["Small"])

    def test_half_a_model_is_none(self):
        process = self.start_and_hold()
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.catalogue()["state"], "begun")
        self.assertIn("goes on", self.zimage("models", "catalogue").stdout)
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130, words)
        self.assertIn("goes on from there", words)
        self.assertEqual(self.listed(), [])

        there = self.catalogue()["bytes_there"]
        self.server.flow.set()
        result = json.loads(self.zimage("models", "fetch", "--json").stdout.splitlines()[-1])
        self.assertLessEqual(result["bytes_received"], sum(map(len, self.data.values())) - there)
        self.assertEqual(self.listed(), [self.path])

    def test_killed_and_gone_on_with(self):
        process = self.start_and_hold()
        process.kill()
        process.communicate()
        self.assertEqual(self.listed(), [])
        self.server.flow.set()
        self.zimage("models", "fetch", "small")
        self.assertEqual(self.listed(), [self.path])

    def test_discard(self):
        process = self.start_and_hold()
        self.assertIn("already", self.zimage("models", "fetch", "--discard", status=1).stderr)
        process.terminate()
        process.communicate()
        self.zimage("models", "fetch", "--discard")
        self.assertEqual(os.listdir(self.models), [])

    def test_json(self):
        lines = [json.loads(line) for line in self.zimage("models", "fetch", "--json").stdout.splitlines()]
        self.assertTrue(all(line["event"] == "progress" and line["bytes"] <= line["total"] for line in lines[:-1]))
        self.assertEqual(lines[-1]["event"], "result")
        self.assertEqual((lines[-1]["status"], lines[-1]["path"]), ("done", self.path))
        self.server.broken.add("vae/config.json")
        os.unlink(os.path.join(self.path, "vae/config.json"))
        lines = self.zimage("models", "repair", "--json", status=1).stdout.splitlines()
        result = json.loads(lines[-1])
        self.assertEqual((result["status"], result["error"]["code"]), ("failed", "file-not-found"))

    def test_repair(self):
        self.assertIn("models fetch", self.zimage("models", "repair", status=1).stderr)
        self.zimage("models", "fetch")
        name = "vae/diffusion_pytorch_model.safetensors"
        with open(os.path.join(self.path, name), "r+b") as file:
            file.seek(5000)
            byte = file.read(1)
            file.seek(5000)
            file.write(bytes([byte[0] ^ 1]))
        self.server.paths.clear()
        self.zimage("models", "repair")
        self.assertEqual(self.server.paths, ["/org/small/resolve/abc/" + name])
        with open(os.path.join(self.path, name), "rb") as file:
            self.assertEqual(file.read(), self.data[name])

    def test_other_folder(self):
        other = os.path.join(self.folder, "other", "models")
        self.assertEqual(self.zimage("models", "fetch", "--to", other, "--parallel", "1").stdout, os.path.join(other, "Small") + "\n")

    def test_refusals(self):
        for arguments, status, words in [
                (["nonesuch"], 2, ["nonesuch", "small"]),
                (["small", "more"], 2, ["more"]),
                (["--source", "moon"], 2, ["--source", "huggingface", "moon"]),
                (["--source", "modelscope"], 2, ["ModelScope", "huggingface"]),
                (["--endpoint", "nowhere"], 2, ["nowhere", "https://"]),
                (["--parallel", "0"], 2, ["--parallel"]),
                (["--to", "/proc/models"], 1, ["/proc"])]:
            with self.subTest(arguments=arguments):
                done = self.zimage("models", "fetch", *arguments, status=status)
                sentence = done.stderr.splitlines()[-1]
                for word in words:
                    self.assertIn(word, sentence)
                self.assertEqual(done.stdout, "")
        self.server.broken.add("vae/config.json")
        self.assertIn("404", self.zimage("models", "fetch", status=1).stderr)
        self.assertEqual(self.listed(), [])

    def mount(self, size, to):
        """The command that runs another with a disk of SIZE bytes at TO; None where none may be mounted."""
        command = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=%d none "$1" && shift && exec "$@"' % size, "sh", to]
        try:
            return command if subprocess.run([*command, "true"], capture_output=True, timeout=20).returncode == 0 else None
        except OSError:
            return None

    def test_no_room(self):
        to = os.path.join(self.folder, "disk")
        os.mkdir(to)
        disk = self.mount(sum(map(len, self.data.values())) - 65536, to)
        if disk is None:
            self.zimage("models", "fetch")          # what is needed without a disk of one's own is tested in test-fetch.c
            return
        done = subprocess.run([*disk, ZIMAGE, "models", "fetch", "--to", to], capture_output=True, env=self.environment, timeout=60, text=True)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"disk is too full: .* are needed and .* are free")
        self.assertIn(to, done.stderr)
        self.assertEqual(self.server.paths, [])

    def test_disk_fills_up(self):
        """Another program takes the room away while the files come; where no disk may be mounted, a limit on files stands in for it."""
        to = os.path.join(self.folder, "disk")
        os.mkdir(to)
        size = sum(map(len, self.data.values())) + (300 << 20)
        disk = self.mount(size, to)
        if disk is None:
            disk = ["sh", "-c", 'trap "" XFSZ; ulimit -f 1000; exec "$@"', "sh"]
            words = "large"
        else:
            words = "the disk is full"
        self.server.flow.clear()
        process = subprocess.Popen([*disk, ZIMAGE, "models", "fetch", "--to", to], env=self.environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        if words != "large":
            while sum("safetensors" in path or "gguf" in path for path in self.server.paths) < 3:
                time.sleep(0.02)
            time.sleep(0.2)
            # Where the process is, its disk can be reached.
            with open("/proc/%d/root%s/other" % (process.pid, to), "wb") as file:
                for room in (1 << 24, 1 << 16, 1 << 12):
                    try:
                        while True:
                            os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, room)
                    except OSError:
                        pass
        self.server.flow.set()
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, stderr)
        self.assertIn(words, stderr)
        self.assertEqual(self.listed(), [])

    def test_manual(self):
        with open(MANUAL, encoding="utf-8") as file:
            manual = file.read().replace("\\-", "-")
        for command in ["catalogue", "fetch", "repair"]:
            self.assertIn("models " + command, manual)
            text = self.zimage("models", command, "--help").stdout
            for option in re.findall(r"--[a-z][a-z-]+", text):
                if option != "--help":
                    self.assertIn(option, manual, f"{command} {option}")
        for variable in ["HF_ENDPOINT", "MODELSCOPE_DOMAIN", "HF_TOKEN", "ZIE_CATALOGUE"]:
            self.assertIn(".B " + variable + "\n", manual)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
