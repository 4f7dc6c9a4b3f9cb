import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ports import quiet_port

from triptych_server.doctor import Finding, Verdict
from triptych_server.doctor.configuration import examine_port, refused, variables
from triptych_server.launch import GatewayProcess
from triptych_server.settings import Settings

WAIT_S = 60  # for what answers
DESCRIPTIONS = {name: str(f.description) for name, f in Settings.model_fields.items()}


def refusals(config: Path | None = None, **flags: object) -> list[Finding]:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # SettingsError and others
        Settings.load(config, **flags)
    found = list(refused(caught.value, DESCRIPTIONS))
    assert all(f.verdict is Verdict.PROBLEM and f.remedy for f in found)
    return found


def test_each_refused_setting_is_named_with_its_meaning(tmp_path: Path) -> None:
    config = tmp_path / "triptych.toml"
    config.write_text('port = 99999\nprot = 1\n[default_model]\nname = "a"\n')
    found = {finding.what: finding for finding in refusals(config, encoders="cuda")}
    assert set(found) == {"port", "prot", "default_model", "encoders"}
    assert found["encoders"].remedy.startswith("export TRIPTYCH_ENCODERS=")
    assert "triton://HOST:PORT" in found["encoders"].remedy
    assert "did you mean port?" in found["prot"].remedy


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path) -> None:
    [missing] = refusals(tmp_path / "none.toml")
    assert "none.toml" in missing.detail
    config = tmp_path / "triptych.toml"
    config.write_text("port = = 1")
    [broken] = refusals(config)
    assert broken.what == "config"


def test_variables_that_are_no_settings_are_told() -> None:
    environment = ["PATH", "TRIPTYCH_PORT", "TRIPTYCH_TARGET", "TRIPTYCH_PROT"]
    [finding] = variables(environment, Settings.model_fields.keys())
    assert (finding.what, finding.verdict) == ("TRIPTYCH_PROT", Verdict.WARNING)
    assert "did you mean TRIPTYCH_PORT?" in finding.detail


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something other than a gateway has."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_port_that_another_program_has_is_a_problem(taken: int) -> None:
    [finding] = examine_port("port", "127.0.0.1", taken, 0.1)
    assert finding.verdict is Verdict.PROBLEM
    assert f"sport = :{taken}" in finding.remedy


def test_the_port_of_a_running_gateway_is_well(gateway: GatewayProcess) -> None:
    host, _, port = gateway.target.rpartition(":")
    [finding] = examine_port("port", host, int(port), WAIT_S)
    assert finding.verdict is Verdict.OK
    assert finding.remedy == f"triptych doctor --target {gateway.target}"
    [metrics] = examine_port("metrics_port", host, int(port), WAIT_S)
    assert metrics.verdict is Verdict.PROBLEM


def test_the_metrics_port_of_a_running_gateway_is_well(tmp_path: Path) -> None:
    flags = ("--services", "embedding", "--metrics-port", "0")
    with GatewayProcess(*flags, log=tmp_path / "log") as gateway:
        port = urlsplit(gateway.metrics).port
        assert port
        [finding] = examine_port("metrics_port", "127.0.0.1", port, WAIT_S)
    assert finding.verdict is Verdict.OK


def test_a_free_port_stays_free() -> None:
    with quiet_port() as port:
        for _ in range(2):
            [finding] = examine_port("port", "127.0.0.1", port, WAIT_S)
            assert finding.verdict is Verdict.OK


def test_an_address_of_another_machine_is_a_problem() -> None:
    [finding] = examine_port("port", "192.0.2.1", 50051, WAIT_S)
    assert (finding.what, finding.verdict) == ("host", Verdict.PROBLEM)
