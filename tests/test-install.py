#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What "meson install" leaves is a whole application: everything is in its place, and the installed command line makes a
picture, and so does the window, while neither the sources nor the build are there.  (The installed tree is laid over the prefix, and
the other two are hidden, in a mount namespace of the test's own.)

usage: test-install.py MESON SOURCE_ROOT BUILD_ROOT PREFIX
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIP = 77
APP = "com.example.ZImageStudio"
LANGUAGES = ("de", "zh_CN")

# Relative to the prefix; a star stands for one part of a name.
EVERYWHERE = [
    "bin/zimage",
    "share/man/man1/zimage.1",
    "share/bash-completion/completions/zimage",
    "share/zsh/site-functions/_zimage",
    "share/zimage-studio/catalogue.json",
    "share/zimage-studio/demo-model/model_index.json",
    "share/zimage-studio/demo-model/transformer/*.gguf",
    "share/zimage-studio/demo-model/LICENSE.fluentui-emoji",
    "share/zimage-studio/demo-model/LICENSE.emojibase",
    "share/zimage-studio/demo-model/LICENSE.unicode",
    "share/zimage-studio/qwen3-tokenizer/tokenizer.json.gz",
    "share/doc/zimage-studio/COPYING",
    "share/doc/zimage-studio/THIRD-PARTY.md",
    "share/locale/de/LC_MESSAGES/zimage-studio.mo",
    "share/locale/zh_CN/LC_MESSAGES/zimage-studio.mo",
]
WITH_WINDOW = [
    "bin/zimage-studio",
    "share/man/man1/zimage-studio.1",
    "share/bash-completion/completions/zimage-studio",
    f"share/applications/{APP}.desktop",
    f"share/metainfo/{APP}.metainfo.xml",
    f"share/glib-2.0/schemas/{APP}.gschema.xml",
    f"share/dbus-1/services/{APP}.service",
    f"share/icons/hicolor/scalable/apps/{APP}.svg",
    f"share/icons/hicolor/symbolic/apps/{APP}-symbolic.svg",
]
# What only the build and the tests need.
NEVER = ["share/**/*.py", "share/**/*.tar", "**/*.a", "include/**/*"]

# $1 the installed prefix, $2 where it belongs, $3 sources, $4 build, $5 a folder to work in; then a command.
INSIDE = """
mkdir -p "$2" && mount --bind "$1" "$2" && cd "$5" && mount -t tmpfs none "$4" && mount -t tmpfs none "$3" || exit 99
shift 5
exec "$@"
"""


class Installed:
    def __init__(self, folder, meson, source, build, prefix):
        self.root = pathlib.Path(folder, "root" + prefix)
        self.work = pathlib.Path(folder, "work")
        self.work.mkdir()
        self.places = [str(self.root), prefix, source, build, str(self.work)]
        self.prefix = prefix
        subprocess.run([meson, "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", str(folder) + "/root"], check=True,
                       stdout=subprocess.DEVNULL)

    def command(self, program):
        """what runs an installed program where nothing else of ours is"""
        return ["unshare", "-rm", "sh", "-c", INSIDE, "sh", *self.places, f"{self.prefix}/bin/{program}"]

    def run(self, program, *arguments, **environment):
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.work), "LC_ALL": "C.UTF-8", **environment}
        for name in ("ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"):
            env.update({name: os.environ[name]} if name in os.environ else {})
        return subprocess.run([*self.command(program), *arguments], capture_output=True, text=True, check=False, timeout=120, env=env)

    def drive(self, source):
        """the installed window as a person sees it, under a display of its own"""
        ui = pathlib.Path(source, "tests/ui")
        # What meson does after an installation that is not for a package (--destdir).
        subprocess.run(["glib-compile-schemas", str(self.root / "share/glib-2.0/schemas")], check=True)
        return subprocess.run(["bash", str(ui / "ui-session.sh"), "-o", str(self.work), "/usr/bin/python3", str(ui / "test_installed.py"),
                               *self.command("zimage-studio")], capture_output=True, text=True, check=False, timeout=200)


def check(condition, what, detail):
    if not condition:
        raise SystemExit(f"failed: {what}: {detail}")
    print("ok", what)


def check_desktop(share, prefix):
    """what menus, shops and the session bus read"""
    desktop = (share / f"applications/{APP}.desktop").read_text(encoding="utf-8")
    words = [f"{key}[{language}]=" for key in ("Comment", "GenericName", "Keywords") for language in LANGUAGES]
    missing = [word for word in words if word not in desktop]
    check(not missing, "the desktop file speaks every language", missing)
    wanted = [f"Icon={APP}\n", "MimeType=image/png;\n", "DBusActivatable=true\n", "Exec=zimage-studio %f\n"]
    check(all(line in desktop for line in wanted), "it opens PNG files, and has its icon", desktop)
    service = (share / f"dbus-1/services/{APP}.service").read_text(encoding="utf-8")
    check(service == f"[D-BUS Service]\nName={APP}\nExec={prefix}/bin/zimage-studio --gapplication-service\n", "the bus starts it", service)
    metainfo = (share / f"metainfo/{APP}.metainfo.xml").read_text(encoding="utf-8")
    check(all(f'<summary xml:lang="{language}">' in metainfo for language in LANGUAGES), "the metainfo speaks every language", metainfo)


def main():
    meson, source, build, prefix = sys.argv[1:5]
    if prefix == "/usr":
        print("skipped: this build belongs into the system itself")
        return SKIP
    if subprocess.run(["unshare", "-rm", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        print("skipped: no mount namespace can be made here")
        return SKIP

    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        installed = Installed(folder, meson, source, build, prefix)
        has_window = (installed.root / "bin/zimage-studio").exists()
        wanted = EVERYWHERE + (WITH_WINDOW if has_window else [])
        missing = [name for name in wanted if not list(installed.root.glob(name))]
        check(not missing, f"{len(wanted)} files are in their places", missing)
        extra = [str(path) for pattern in NEVER for path in installed.root.glob(pattern)]
        check(not extra, "nothing is there that only the build needs", extra)

        done = installed.run("zimage", "--version")
        check(re.fullmatch(r"zimage \d+\.\d+\.\d+\n", done.stdout), "zimage --version", done)
        done = installed.run("zimage", "devices")
        check("cpu" in done.stdout, "zimage devices", done)
        module = list(installed.root.glob("lib*/**/zie-cuda.so"))
        check(("without its CUDA module" in done.stdout) != bool(module), "the CUDA module is found as far as it is there", done)
        done = installed.run("zimage", "generate", "--prompt", "a red apple", "--steps", "2", "--seed", "7", "--output", "apple.png")
        check(done.returncode == 0 and done.stdout == "apple.png\n", "zimage generate", done)
        check((installed.work / "apple.png").read_bytes().startswith(b"\x89PNG"), "the picture is a PNG", "it begins otherwise")
        done = installed.run("zimage", "models", "catalogue", "--json")
        check(done.returncode == 0 and json.loads(done.stdout), "zimage models catalogue", done)
        for language in LANGUAGES:
            done = installed.run("zimage", "--help", LANGUAGE=language)
            check(done.returncode == 0 and "Usage" not in done.stdout, f"zimage --help speaks {language}", done)
        if has_window:
            check_desktop(installed.root / "share", prefix)
            done = installed.run("zimage-studio", "--help")
            check(done.returncode == 0 and "zimage-studio" in done.stdout, "zimage-studio --help", done)
            done = installed.run("zimage-studio", "--version")
            check(re.fullmatch(r"zimage-studio \d+\.\d+\.\d+\n", done.stdout), "zimage-studio --version, without a display", done)
            if shutil.which("Xvfb") and shutil.which("xdotool") and shutil.which("openbox"):
                done = installed.drive(source)
                check(done.returncode == 0 and "makes a picture" in done.stdout, "the installed window makes a picture", done)
    return 0


if __name__ == "__main__":
    sys.exit(main())
