"""Servers for the tests: their own home, their own port, and nothing left behind."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
from driving import Kernel

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(command: list[str], folder: Path, home: Path, log: Path, url: str) -> Iterator[None]:
    """Run a Jupyter server in `folder` with everything of its own in `home`, until `url` answers.

    It ends with the block, and so do its kernels.
    """
    environment = os.environ | {
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        # The package under test, also where the notebook runs outside the checkout.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(url, server, log)
            yield
        finally:
            _end(server.pid)
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return  # a refusal is an answer
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the server did not start within {seconds} s:\n{log.read_text()[-3000:]}")


def _end(pid: int) -> None:
    """End a process and everything that it started: the server's kernels are its children."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(family, timeout=5)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


# JupyterLab would ask the network for news and updates, and cover the lower right corner with it.
OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path  # its root: the copied notebooks
    runtime: Path  # where its kernels' connection files are

    def notebook(self, name: str) -> str:
        """The address that opens one notebook and nothing else of an earlier workspace."""
        workspace = secrets.token_hex(4)
        return f"{self.url}/lab/workspaces/{workspace}/tree/{quote(name)}?token={self.token}"

    def kernel(self, notebook: str) -> Kernel:
        """The kernel of an open notebook."""
        with urllib.request.urlopen(f"{self.url}/api/sessions?token={self.token}") as answer:
            sessions = json.load(answer)
        kernel = next(s["kernel"]["id"] for s in sessions if s["path"] == notebook)
        return Kernel(self.runtime / f"kernel-{kernel}.json")


@contextmanager
def jupyterlab(home: Path, notebooks: Path) -> Iterator[Lab]:
    """JupyterLab on a copy of a folder of notebooks, with everything of its own in `home`."""
    folder = home / "notebooks"
    if notebooks.is_dir():
        ignore = shutil.ignore_patterns(".ipynb_checkpoints")
        shutil.copytree(notebooks, folder, ignore=ignore)
    folder.mkdir(exist_ok=True)
    for name, values in OVERRIDES.items():
        package, plugin = name.split(":")
        place = home / "settings" / package / f"{plugin}.jupyterlab-settings"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(values))
    port = free_port()
    token = secrets.token_hex(16)
    log = home / "lab.log"
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}",
        "--ServerApp.log_level=WARN", "--expose-app-in-browser",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with served(command, folder, home, log, f"{url}/api?token={token}"):
        yield Lab(url, token, folder, home / "runtime")
