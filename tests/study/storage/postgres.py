"""A PostgreSQL server of the tests' own, from Debian's package."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import sqlalchemy


def programs() -> Path | None:
    """The folder of initdb and postgres; Debian keeps the newest version's off the PATH."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), *_on_path("initdb")]
    return max(found, default=Path(), key=lambda path: _version(path)).parent if found else None


class Server:
    """One cluster in a folder of its own, on a socket there and on no port.

    PostgreSQL refuses root: root lets the package's user run it.
    """

    def __init__(self, bin: Path) -> None:
        self._bin = bin
        self._as = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        self.folder = tempfile.mkdtemp(prefix="gdws-postgres-", dir="/tmp")  # sockets: short paths
        if self._as:
            shutil.chown(self.folder, **self._as)
        data = f"{self.folder}/data"
        self._run("initdb", "-D", data, "-U", "gdws", "-A", "trust", "-E", "UTF8", "--no-sync")
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers; -F: nothing here must outlive a power cut."""
        command = [self._bin / "postgres", "-D", self._data, "-F", "-k", self.folder, "-h", ""]
        with Path(self.folder, "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self._as
            )
        self._run("pg_isready", "-h", self.folder, "-d", "postgres", "-t", "60", patient=True)

    def stop(self) -> None:
        """Stop it, connections or not."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def url(self, name: str, user: str = "gdws") -> str:
        return f"postgresql://{user}@/{name}?host={self.folder}"

    def tell(self, *statements: str, database: str = "postgres") -> None:
        """Run SQL as the owner of everything."""
        url = self.url(database).replace("postgresql:", "postgresql+psycopg:")
        engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(sqlalchemy.text(statement))
        engine.dispose()

    def _run(self, program: str, *words: str, patient: bool = False) -> None:
        for _ in range(600 if patient else 1):
            answer = subprocess.run(
                [self._bin / program, *words], capture_output=True, text=True, cwd="/", **self._as
            )
            if answer.returncode == 0:
                return
            time.sleep(0.1 if patient else 0)
        raise RuntimeError(f"{program}: {answer.stdout}{answer.stderr}")


def _on_path(program: str) -> list[Path]:
    found = shutil.which(program)
    return [] if found is None else [Path(found).resolve()]


def _version(path: Path) -> float:
    name = path.parent.parent.name
    return float(name) if name.replace(".", "", 1).isdigit() else 0.0
