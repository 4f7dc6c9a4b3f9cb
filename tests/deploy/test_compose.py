"""compose.yaml beyond its schema: that its parts fit each other and the files around it."""

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from triptych_export.writer import ENGINE_CACHE

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
FILLED_BY_THE_USER = ("./models", "./generators")


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> Any:
    return SERVICES[request.param]


def mounts(service: Any) -> list[dict[str, Any]]:
    """Of files and folders, not of named volumes."""
    return [each for each in service.get("volumes", []) if isinstance(each, dict)]


def test_images_are_pinned(service: Any) -> None:
    _, _, tag = service["image"].rpartition(":")
    assert re.search(r"\d+\.\d+", tag)


def test_image_is_of_this_version() -> None:
    assert SERVICES["gateway"]["image"] == f"triptych:{metadata.version('triptych')}"


def test_ports_are_published_to_this_machine_alone(service: Any) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_what_is_mounted_is_there_and_cannot_be_written(service: Any) -> None:
    for mount in mounts(service):
        assert mount["read_only"]
        if not mount["source"].startswith(FILLED_BY_THE_USER):
            assert (DEPLOY / mount["source"]).is_file()


def test_named_volumes_are_declared(service: Any) -> None:
    named = [each.split(":")[0] for each in service.get("volumes", []) if isinstance(each, str)]
    assert {*named} <= {*COMPOSE["volumes"]}


def test_services_restart_and_are_bounded(service: Any) -> None:
    assert service["restart"] == "unless-stopped"
    assert "memory" in service["deploy"]["resources"]["limits"]


def test_what_is_waited_for_says_when_it_is_healthy(service: Any) -> None:
    for name, wanted in service.get("depends_on", {}).items():
        assert wanted == {"condition": "service_healthy"}
        ours = SERVICES[name]["image"].startswith("triptych:")  # the Dockerfile's HEALTHCHECK
        assert ours or "healthcheck" in SERVICES[name]


def test_gateways_listen_on_what_the_image_exposes() -> None:
    [port] = SERVICES["gateway"]["ports"]
    exposed = re.search(r"^EXPOSE (.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert exposed
    assert port.rpartition(":")[2] in exposed[1].split()


def test_triton_keeps_the_engines_that_it_builds() -> None:
    assert f"engines:{ENGINE_CACHE}" in SERVICES["triton"]["volumes"]


def test_replicas_keep_no_data() -> None:
    replica = SERVICES["replica"]
    assert "search" not in replica["command"][-1]
    assert len(mounts(replica)) == len(replica["volumes"])


def test_gateway_names_the_engines_of_this_file() -> None:
    settings = tomllib.loads((DEPLOY / "gateway.toml").read_text())
    host, port = re.fullmatch(r"triton://(\w+):(\d+)", settings["encoders"]).groups()
    assert f"--grpc-port={port}" in SERVICES[host]["command"]
    for generator in settings["remote_generators"]:
        [url] = generator["urls"]
        host, port = re.fullmatch(r"http://(\w+):(\d+)", url).groups()
        assert port == "8000"  # vLLM's own
        assert f"--served-model-name={generator['name']}" in SERVICES[host]["command"]
        embeds = "--enable-prompt-embeds" in SERVICES[host]["command"]
        assert embeds == (generator["style"] == "prompt_embeds")


def test_gateway_sees_the_folders_that_it_is_told_of() -> None:
    settings = tomllib.loads((DEPLOY / "gateway.toml").read_text())
    for name in ("gateway", "replica"):
        targets = {mount["target"] for mount in mounts(SERVICES[name])}
        assert {settings["assets"], settings["generators"]} <= targets
        assert SERVICES[name]["command"][2] in targets


def test_prometheus_scrapes_services_of_this_file_on_their_ports() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    targets = {
        (name, discovery["port"])
        for job in config["scrape_configs"]
        for discovery in job["dns_sd_configs"]
        for name in discovery["names"]
    }
    gateways = {(name, 9464) for name in ("gateway", "replica")}
    engines = {("triton", 8002), ("blip2", 8000), ("qwen", 8000)}
    assert targets == gateways | engines
    assert {name for name, _ in targets} <= {*SERVICES}
    assert "--metrics-port=8002" in SERVICES["triton"]["command"]
    assert "TRIPTYCH_METRICS_PORT=9464" in (DEPLOY / "Dockerfile").read_text()


def test_grafana_asks_the_prometheus_of_this_file() -> None:
    provisioned = yaml.safe_load((DEPLOY / "grafana/datasource.yaml").read_text())
    [source] = provisioned["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "9090" in str(SERVICES["prometheus"]["ports"])
    providers = yaml.safe_load((DEPLOY / "grafana/dashboards.yaml").read_text())["providers"]
    folder = providers[0]["options"]["path"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(folder)
    assert home in {mount["target"] for mount in mounts(SERVICES["grafana"])}
