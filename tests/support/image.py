"""The image without Docker: the Dockerfile's own instructions, carried out below a directory of the test's.

Not carried out are those that need NVIDIA's image: FROM, and apt-get, whose compiler the machine must have.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from packrank_server.installation import find_installation
from tests.support.repository import ROOT

DEPLOY = ROOT / "deploy"
MAPPED = re.compile(r"(?<![\w/.-])/(?=(?:opt/packrank|var/lib/packrank|src|checkpoints)(?:[/:\s]|$))")
APT = "apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*"


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile with its argument, continued lines joined."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in joined if line)]


def compose_service(name: str, environment: dict[str, str]) -> dict[str, Any]:
    """One service of compose.yaml with its ${VARIABLES} filled in as compose does."""

    def value(match: re.Match[str]) -> str:
        variable, operator, other = match.groups()
        given = environment.get(variable)
        assert given or operator == ":-", f"{variable} is required: {other}"
        return given or str(other)

    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    filled = re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)
    assert "$" not in filled
    service: dict[str, Any] = yaml.safe_load(filled)["services"][name]
    return service


@dataclass
class Image:
    """What the Dockerfile made under `root`, and how its containers are run."""

    root: Path
    user: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    directory: str = "/"
    settings: dict[str, str] = field(default_factory=dict)

    def path(self, text: str) -> str:
        """A path of the image, or several within a command, as they are on this machine."""
        return MAPPED.sub(f"{self.root}/", text)

    def command(self, arguments: list[str]) -> list[str]:
        """Its entry point with other arguments, as the user that it runs as."""
        return [*self.user, *map(self.path, [*self.entrypoint, *arguments])]

    def container(self, service: dict[str, Any]) -> dict[str, str]:
        """The environment of a service's process."""
        given = {name: self.path("" if value is None else str(value)) for name, value in service["environment"].items()}
        return {**self.environment, **given}


def build_image(root: Path) -> Image:
    """Carry out the Dockerfile."""
    image = Image(root, as_user_1000() if os.getuid() == 0 else [])
    server = root / "opt" / "tritonserver" / "bin" / "tritonserver"
    write_tritonserver(server)
    path = os.pathsep.join([str(server.parent), *os.environ["PATH"].split(os.pathsep)])
    image.environment = {"PATH": path}
    carry_out = {"RUN": run, "COPY": copy, "WORKDIR": work_in, "ENV": set_environment}
    for word, argument in instructions():
        if word in carry_out:
            carry_out[word](image, argument)
        elif word == "ENTRYPOINT":
            image.entrypoint = json.loads(argument)
        elif word == "HEALTHCHECK":
            image.health = json.loads(argument.partition(" CMD ")[2])
        else:
            assert word in {"ARG", "FROM", "VOLUME", "USER", "EXPOSE", "STOPSIGNAL", "CMD"}, word
            image.settings[word] = argument
    return image


def as_user_1000() -> list[str]:
    """A prefix that runs a command as the image's user: by changing to it, or where it may not enter the directory of
    this Python, in a user namespace; nothing where neither is allowed."""
    changed = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
    environment = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    for prefix in (changed, ["unshare", "--user", "--map-user=1000", "--map-group=1000"]):
        command = [*prefix, "python3", "-c", "import sys; print(sys.prefix)"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.stdout.strip() == sys.prefix:
            return prefix
    return []


def run(image: Image, argument: str) -> None:
    """RUN."""
    command = " ".join(word for word in argument.split() if not word.startswith("--mount="))
    if command.startswith("apt-get"):
        assert command == APT
        assert shutil.which("gcc")
        return
    if image.user[:1] != ["setpriv"]:  # outside of a namespace the user is still this one
        command = command.replace("-o 1000 -g 1000", f"-o {os.getuid()} -g {os.getgid()}")
    # the machine's Python for the image's, which must not see the tests' packages
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-c", image.path(command)],
        cwd=image.path(image.directory),
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def copy(image: Image, argument: str) -> None:
    """COPY, of what git would commit: the same as the ignore file of the build leaves."""
    *sources, target = shlex.split(argument)
    if sources[0].startswith("--from="):
        assert sources[1:] == [target], "the stages share one directory here"
        return
    destination = Path(image.path(target) if target.startswith("/") else f"{image.path(image.directory)}/{target}")
    for source in sources:
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", source]
        files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        assert files, source
        for file in files:
            if (ROOT / source).is_dir():
                place = destination / Path(file).relative_to(source)
            else:
                place = destination / Path(file).name if target.endswith("/") else destination
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, place)


def work_in(image: Image, argument: str) -> None:
    """WORKDIR."""
    image.directory = argument
    Path(image.path(argument)).mkdir(parents=True, exist_ok=True)


def set_environment(image: Image, argument: str) -> None:
    """ENV."""
    for pair in argument.split():
        name, _, value = pair.partition("=")
        image.environment[name] = image.path(value).replace("$PATH", image.environment["PATH"])


def write_tritonserver(place: Path) -> None:
    """The wheel's tritonserver as NVIDIA's image has its own: found on PATH, knowing its backends."""
    installed = find_installation()
    place.parent.mkdir(parents=True)
    libraries = shlex.quote(installed.environment["LD_LIBRARY_PATH"])
    command = f"{installed.binary} --backend-directory={installed.backends}"
    place.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={libraries} exec {command} "$@"\n')
    place.chmod(0o755)
