"""The image of the gateway, as far as its Dockerfile tells (`make check` lints it)."""

import json
import re
from pathlib import Path

import pytest

from triptych_server.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy/Dockerfile").read_text()
INSTRUCTIONS = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(
        r"\\\n", " ", re.sub(r"^\s*#.*\n", "", TEXT, flags=re.MULTILINE)
    ).splitlines()
    if line
]
LAST_STAGE = INSTRUCTIONS[
    max(i for i, (instruction, _) in enumerate(INSTRUCTIONS) if instruction == "FROM") :
]


def last(instruction: str) -> str:
    """What the last stage says with an instruction."""
    [rest] = [rest for each, rest in LAST_STAGE if each == instruction]
    return rest


def test_stages_share_one_pinned_base() -> None:
    bases = {rest.split()[0] for instruction, rest in INSTRUCTIONS if instruction == "FROM"}
    [base] = bases  # the environment's Python is the base's
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", base)


def test_user_is_a_number_other_than_root() -> None:
    user, group = last("USER").split(":")
    assert int(user) > 0  # a number, so that Kubernetes can see that it is not root
    assert int(group) > 0


def test_signals_and_probes_reach_the_gateway_without_a_shell() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["triptych"]
    assert json.loads(last("CMD")) == ["serve"]
    _, _, probe = last("HEALTHCHECK").partition(" CMD ")
    assert json.loads(probe) == ["triptych", "health"]


def test_last_stage_installs_nothing() -> None:
    commands = [rest for instruction, rest in LAST_STAGE if instruction == "RUN"]
    assert not any(re.search(r"\b(pip|apt-get|curl|wget)\b", command) for command in commands)


def test_environment_holds_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = dict(pair.split("=") for pair in last("ENV").split())
    for name, value in variables.items():
        if name.startswith("TRIPTYCH_"):
            monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert str(settings.data) == last("VOLUME")
    assert [settings.port, settings.metrics_port] == [int(port) for port in last("EXPOSE").split()]
    assert settings.host == "0.0.0.0"


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line.removeprefix("!/") for line in ignore if line.startswith("!/")]
    copied = [
        source
        for instruction, rest in INSTRUCTIONS
        if instruction == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert sorted(copied) == sorted(sent)
    assert all((ROOT / source).exists() for source in copied)
