"""Builds an image and runs it without rights: with Docker where an engine answers, else with buildah and runc.

Both ways run it by an OCI runtime as the image's own user, with a read-only root, no capability, no new privileges and
a /tmp of its own; only the network is the machine's. buildah needs root here, and no daemon.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

NAME = "onboarding-image-test"
TMPFS = ["nosuid", "nodev", "noexec", "mode=1777", "size=64m"]


class Engine(Protocol):
    def has(self, image: str) -> bool: ...

    def pull(self, image: str) -> bool: ...

    def load(self, archive: Path, image: str) -> None:
        """Makes an image of one layer."""

    def build(self, image: str, folder: Path, *, arguments: Mapping[str, str], secrets: Mapping[str, Path]) -> None: ...

    def size(self, image: str) -> int:
        """Bytes."""

    def output(self, image: str, command: Sequence[str], env: Mapping[str, str]) -> str:
        """What a command in a container of the image writes; an error where it fails."""

    def start(self, image: str, env: Mapping[str, str], log: Path) -> Container:
        """Starts what the image starts."""


class Container(Protocol):
    def is_healthy(self) -> bool:
        """What the image's own health check says."""

    def stop(self, seconds: int) -> int:
        """Asks it to end; its status, or an error where it does not."""


def engine() -> Engine:
    if shutil.which("docker") and _works("docker", "info"):
        return Docker()
    missing = [name for name in ("buildah", "runc") if not shutil.which(name)]
    if missing:
        raise SystemExit(f"no Docker engine answers, and there is no {' and no '.join(missing)}")
    return Buildah()


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **options)
    return done.stdout.strip()


def _build_options(arguments: Mapping[str, str], secrets: Mapping[str, Path]) -> list[str]:
    options = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    return options + [word for name, path in secrets.items() for word in ("--secret", f"id={name},src={path}")]


@dataclass(frozen=True)
class Docker:
    def has(self, image: str) -> bool:
        return _works("docker", "image", "inspect", image)

    def pull(self, image: str) -> bool:
        return _works("docker", "pull", image)

    def load(self, archive: Path, image: str) -> None:
        _run("docker", "import", str(archive), image)

    def build(self, image: str, folder: Path, *, arguments: Mapping[str, str], secrets: Mapping[str, Path]) -> None:
        options = _build_options(arguments, secrets)
        env = {**os.environ, "DOCKER_BUILDKIT": "1"}
        _run("docker", "build", "--network", "host", *options, "--tag", image, str(folder), env=env)

    def size(self, image: str) -> int:
        return int(_run("docker", "image", "inspect", "--format", "{{.Size}}", image))

    def _options(self, env: Mapping[str, str]) -> list[str]:
        return [
            "--network", "host", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--tmpfs", "/tmp:" + ",".join(["rw", *TMPFS]),
            *(word for name, value in env.items() for word in ("--env", f"{name}={value}")),
        ]  # fmt: skip

    def output(self, image: str, command: Sequence[str], env: Mapping[str, str]) -> str:
        return _run("docker", "run", "--rm", *self._options(env), image, *command)

    def start(self, image: str, env: Mapping[str, str], log: Path) -> Container:
        options = [*self._options(env), "--health-interval", "2s"]
        return _DockerContainer(_run("docker", "run", "--detach", *options, image), log)


@dataclass(frozen=True)
class _DockerContainer:
    number: str
    log: Path

    def is_healthy(self) -> bool:
        return _run("docker", "inspect", "--format", "{{.State.Health.Status}}", self.number) == "healthy"

    def stop(self, seconds: int) -> int:
        with self.log.open("wb") as log:
            _run("docker", "stop", "--time", str(seconds), self.number)
            subprocess.run(["docker", "logs", self.number], stdout=log, stderr=log)
        status = int(_run("docker", "inspect", "--format", "{{.State.ExitCode}}", self.number))
        _run("docker", "rm", "--force", self.number)
        return status


@dataclass(frozen=True)
class Buildah:
    """In chroot isolation: a RUN of the build needs no namespaces of its own."""

    def has(self, image: str) -> bool:
        return _works("buildah", "inspect", "--type", "image", image)

    def pull(self, image: str) -> bool:
        return _works("buildah", "pull", image)

    def load(self, archive: Path, image: str) -> None:
        made = _run("buildah", "from", "scratch")
        _run("buildah", "add", "--quiet", made, str(archive), "/")
        _run("buildah", "commit", "--quiet", "--rm", made, image)

    def build(self, image: str, folder: Path, *, arguments: Mapping[str, str], secrets: Mapping[str, Path]) -> None:
        options = ["--isolation", "chroot", "--format", "docker", *_build_options(arguments, secrets)]
        _run("buildah", "build", "--quiet", *options, "--tag", image, str(folder))

    def size(self, image: str) -> int:
        listed = json.loads(_run("buildah", "images", "--json", image))[0]["size"]
        number, unit = listed.split()
        return int(float(number) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit])

    def output(self, image: str, command: Sequence[str], env: Mapping[str, str]) -> str:
        made = _RuncContainer.make(image, env, command)
        try:
            return _run("runc", "run", "--bundle", str(made.bundle), made.name)
        finally:
            made.remove()

    def start(self, image: str, env: Mapping[str, str], log: Path) -> Container:
        made = _RuncContainer.make(image, env, ())
        with log.open("ab") as out:
            made.processes.append(
                subprocess.Popen(["runc", "run", "--bundle", str(made.bundle), made.name], stdout=out, stderr=out)
            )
        return made


@dataclass(frozen=True)
class _RuncContainer:
    name: str
    bundle: Path
    root: str  # buildah's name for the mounted file system
    check: list[str]
    processes: list[subprocess.Popen[bytes]]

    @classmethod
    def make(cls, image: str, env: Mapping[str, str], command: Sequence[str]) -> _RuncContainer:
        name = f"{NAME}-{os.getpid()}-{time.monotonic_ns()}"
        root = _run("buildah", "from", image)
        config = json.loads(_run("buildah", "inspect", "--type", "image", image))["Docker"]["config"]
        bundle = Path(tempfile.mkdtemp(prefix=NAME))
        _run("runc", "spec", "--bundle", str(bundle))
        spec = json.loads((bundle / "config.json").read_text())
        user, _, group = config["User"].partition(":")
        spec["root"] = {"path": _run("buildah", "mount", root), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": int(user), "gid": int(group)},
            "cwd": config["WorkingDir"],
            "args": list(command) or config["Cmd"],
            "env": [*config["Env"], *(f"{key}={value}" for key, value in env.items())],
            "capabilities": {},
            "noNewPrivileges": True,
        }
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "network"]
        spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": TMPFS})
        (bundle / "config.json").write_text(json.dumps(spec))
        return cls(name, bundle, root, config["Healthcheck"]["Test"][1:], [])

    def is_healthy(self) -> bool:
        return _works("runc", "exec", self.name, *self.check)

    def stop(self, seconds: int) -> int:
        _run("runc", "kill", self.name, "TERM")
        try:
            return self.processes[0].wait(timeout=seconds)
        finally:
            self.remove()

    def remove(self) -> None:
        _works("runc", "delete", "--force", self.name)
        _works("buildah", "rm", self.root)
        shutil.rmtree(self.bundle, ignore_errors=True)
