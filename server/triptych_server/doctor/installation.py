"""What is installed, and whether it is what the package metadata asks for."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from triptych_server.doctor.finding import Finding

AREA = "installation"
DISTRIBUTION = "triptych"
# Only a gateway needs these: where one is, the rest of the extra should be.
_OF_THE_GATEWAY = ("grpcio-reflection", "faiss-cpu", "faiss-gpu")
# Each pair installs files of the same names: whichever came last is in effect, or half of it.
_EXCLUSIVE = (("onnxruntime", "onnxruntime-gpu"), ("faiss-cpu", "faiss-gpu"))
_NATIVE = ("onnxruntime", "faiss", "tokenizers")
_REINSTALL = "pip install --force-reinstall 'triptych[server]'"
_SHOWN = ("grpcio", "protobuf", "numpy", "tritonclient", "onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True, slots=True)
class Unmet:
    """`package` is missing (`installed` None) or not of a version that `by` needs."""

    package: str
    installed: str | None
    needs: str
    by: str


def installed(package: str) -> str | None:
    """The version of a distribution, None if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def extra() -> str | None:
    """The extra that makes this installation a gateway; None for a client alone."""
    if not any(map(installed, _OF_THE_GATEWAY)):
        return None
    gpu = any(pair[1] for pair in _EXCLUSIVE if installed(pair[1]) and not installed(pair[0]))
    return "server-gpu" if gpu else "server"


def examine_installation() -> Iterator[Finding]:
    """Python, the packages of the client and of a gateway's extra, and what excludes each other."""
    yield python(platform.python_version(), metadata.metadata(DISTRIBUTION)["Requires-Python"])
    wanted = extra()
    yield from packages(wanted, list(unmet(DISTRIBUTION, [wanted] if wanted else [])))
    versions = {
        each: version for pair in _EXCLUSIVE for each in pair if (version := installed(each))
    }
    yield from side_by_side(versions)
    if wanted:
        yield from importable(_NATIVE)


def importable(modules: Sequence[str]) -> Iterator[Finding]:
    """Modules that load libraries of the system, which pip does not install. Those that are missing
    as a whole are told among the packages."""
    for name in modules:
        try:
            import_module(name)
        except ImportError as error:
            if isinstance(error, ModuleNotFoundError) and error.name == name:
                continue
            system = ".so" in str(error)
            remedy = "apt-get install libgomp1 libstdc++6" if system else _REINSTALL
            yield Finding.problem(AREA, name, f"cannot be imported: {error}", remedy)


def python(version: str, required: str) -> Finding:
    """The interpreter's version against `Requires-Python`."""
    if SpecifierSet(required).contains(version, prereleases=True):
        return Finding.ok(AREA, "python", version)
    detail = f"{version}; triptych needs {required}"
    return Finding.problem(AREA, "python", detail, "python3.11 -m venv .venv")


def packages(wanted: str | None, faults: Sequence[Unmet]) -> Iterator[Finding]:
    """The packages of the client, and those of the extra `wanted`."""
    name = f"{DISTRIBUTION}[{wanted}]" if wanted else DISTRIBUTION
    for each in faults:
        state = f"{each.installed} is installed" if each.installed else "is not installed"
        detail = f"{state}; {each.by} needs {each.needs or 'it'}"
        yield Finding.problem(AREA, each.package, detail, f"pip install '{name}'")
    if not faults:
        known = ", ".join(f"{each} {version}" for each in _SHOWN if (version := installed(each)))
        detail = f"{installed(DISTRIBUTION)} with {known}"
        yield Finding.ok(AREA, name, detail)
    if not wanted:
        yield Finding.ok(
            AREA,
            "gateway",
            "not installed: this is the client alone",
            "pip install 'triptych[server]'",
        )


def side_by_side(versions: Mapping[str, str]) -> Iterator[Finding]:
    """Packages of which one alone may be installed; `versions` are those that are."""
    for cpu, gpu in _EXCLUSIVE:
        if cpu in versions and gpu in versions:
            yield Finding.problem(
                AREA,
                f"{cpu}, {gpu}",
                "both are installed, and overwrite each other's files",
                f"pip uninstall -y {cpu} {gpu} && pip install 'triptych[server-gpu]'"
                "  # [server] without a GPU",
            )


def unmet(distribution: str, extras: Sequence[str]) -> Iterator[Unmet]:
    """Requirements that are not met, of a distribution and of all that it requires."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(distribution), frozenset(extras))]
    told: set[Unmet] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for requirement in _requirements(name, wanted):
            needed = canonicalize_name(requirement.name)
            version = installed(needed)
            if version is not None:
                waiting.append((needed, frozenset(requirement.extras)))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                fault = Unmet(needed, version, str(requirement.specifier), name)
                if fault not in told:
                    told.add(fault)
                    yield fault


def _requirements(distribution: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """Those that hold here, with the extras that are asked for."""
    for text in metadata.requires(distribution) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": each}) for each in ("", *extras)):
            yield requirement
