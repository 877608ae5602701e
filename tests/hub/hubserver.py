# SPDX-License-Identifier: Apache-2.0
"""A server that has the demo model, and the catalogue that says so: for tests of what fetches models."""

import hashlib
import http.server
import json
import os
import threading

PARTS = ["model_index.json", "scheduler", "text_encoder", "tokenizer", "transformer", "vae"]


def read_model(folder):
    """The model's files by their names."""
    data = {}
    for part in PARTS:
        for root, _, names in os.walk(os.path.join(folder, part)):
            for name in names:
                data[os.path.relpath(os.path.join(root, name), folder)] = None
    data["model_index.json"] = None
    for name in data:
        with open(os.path.join(folder, name), "rb") as file:
            data[name] = file.read()
    return data


class Handler(http.server.BaseHTTPRequestHandler):
    """Files with ranges."""

    def do_GET(self):
        server = self.server
        name = self.path.split("/resolve/abc/")[-1]
        server.paths.append(self.path)
        if name not in server.data or name in server.broken:
            self.send_error(404)
            return
        data = server.data[name]
        first = int(self.headers["Range"][6:-1]) if "Range" in self.headers else 0
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(data) - first))
        self.send_header("ETag", '"1"')
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        half = first + (len(data) - first) // 2
        try:
            self.wfile.write(data[first:half])
            if len(data) > 1000000:
                server.flow.wait(20)
            self.wfile.write(data[half:])
        except OSError:
            pass                # cancelled

    def log_message(self, *args):
        pass


class HubServer(http.server.ThreadingHTTPServer):
    """DATA is what it has; BROKEN names what it denies having; PATHS is what was asked for; the second half of a large file
    waits for FLOW."""

    daemon_threads = True

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.broken, self.paths, self.flow = dict(data), set(), [], threading.Event()
        self.flow.set()
        self.endpoint = "http://127.0.0.1:%d" % self.server_port
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.flow.set()
        self.shutdown()
        self.server_close()

    def write_catalogue(self, path, others=()):
        files = [{"path": name, "from": "main", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in self.data.items()]
        model = {"id": "small", "name": "Small", "folder": "Small", "summary": "A small model.", "form": "diffusers directory",
                 "recommended": True, "page": "https://example.org", "licence": {"name": "Apache-2.0", "url": "https://example.org"},
                 "repositories": {"main": {"huggingface": {"repository": "org/small", "revision": "abc"}}}, "files": files}
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"format": 1, "models": [model, *others]}, file)
