"""Which checks an examination consists of. Only what a client has is imported at the top."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from triptych_server.doctor import configuration, installation, machine
from triptych_server.doctor.finding import Finding
from triptych_server.doctor.gateway import examine_gateway
from triptych_server.doctor.gpu import examine_gpu
from triptych_server.doctor.probes import Probe, Report, run

if TYPE_CHECKING:
    from triptych_server.settings import Settings

TIMEOUT_S = 5.0
_INSTALLATION_S = 30.0  # reads the metadata of a hundred packages, and may load CUDA
_LOADING_S = 600.0


def examine(
    load_settings: Callable[[], "Settings"],
    *,
    target: str | None = None,
    load: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Report:
    """Look at everything at once.

    `load_settings` gives those of the gateway to examine; it raises `ValueError` when they are
    refused, and `ModuleNotFoundError` without the server extra. `target` is a running gateway to
    ask too. With `load`, networks in process are loaded, and every model computes once. Each
    question to an engine or a gateway may take `timeout_s`, and no probe hangs longer than a few of
    these.
    """
    settings, findings = _settings(load_settings)
    probes = list(_probes(settings, load, timeout_s))
    if target is not None:
        asking = partial(examine_gateway, target, timeout_s)
        probes.append(Probe("gateway", target, asking, 4 * timeout_s))
    report = run(probes)
    return Report(_by_area([*findings, *report.findings]), report.finished)


def _settings(load: Callable[[], "Settings"]) -> "tuple[Settings | None, list[Finding]]":
    """The settings if they are understood, and what is to say about them."""
    try:
        settings = load()
    except ModuleNotFoundError:  # the installation is looked at by itself
        return None, []
    except ValueError as error:
        from triptych_server.settings import Settings

        described = {name: f.description or "" for name, f in Settings.model_fields.items()}
        return None, list(configuration.refused(error, described))
    names = type(settings).model_fields.keys()
    return settings, list(configuration.variables(os.environ, names))


def _probes(settings: "Settings | None", load: bool, timeout_s: float) -> Iterator[Probe]:
    yield Probe("installation", "packages", installation.examine_installation, _INSTALLATION_S)
    yield Probe("machine", "machine", partial(_machine, settings), timeout_s)
    in_process = settings is not None and settings.encoders == "onnx"
    yield Probe("gpu", "gpu", partial(examine_gpu, in_process=in_process), _INSTALLATION_S)
    if settings is None:
        return
    for name in ("port", "metrics_port"):
        if (port := getattr(settings, name)) is not None:
            asking = partial(configuration.examine_port, name, settings.host, port, timeout_s)
            yield Probe("settings", name, asking, 4 * timeout_s)
    if "search" in settings.services:
        looking = partial(_directory, settings, timeout_s)
        yield Probe("data", str(settings.data), looking, 4 * timeout_s)
    patience_s = 4 * timeout_s + (_LOADING_S if load else 0)
    yield Probe(
        "encoders", settings.encoders, partial(_engines, settings, load, timeout_s), patience_s
    )


def _machine(settings: "Settings | None") -> Iterator[Finding]:
    found = machine.read_machine()
    yield from machine.examine_machine(found)
    if settings is not None:
        from triptych_server.wakeup import DEVICE

        yield from machine.threads(found, settings.threads)
        yield from machine.wakeup(settings.wakeup_latency_us, DEVICE)


def _directory(settings: "Settings", timeout_s: float) -> Iterator[Finding]:
    from triptych_server.doctor.data import examine_directory

    here = partial(configuration.is_gateway, settings.host, settings.port, timeout_s)
    yield from examine_directory(settings.data, here)


def _engines(settings: "Settings", load: bool, timeout_s: float) -> Iterator[Finding]:
    from triptych_server.doctor.engines import examine_engines

    yield from examine_engines(settings, load=load, timeout_s=timeout_s)


def _by_area(findings: Sequence[Finding]) -> list[Finding]:
    """Areas in the order in which they came up, each in one piece."""
    order = {area: n for n, area in enumerate(dict.fromkeys(each.area for each in findings))}
    return sorted(findings, key=lambda each: order[each.area])
