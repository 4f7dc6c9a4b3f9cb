from pathlib import Path

import pytest

from triptych_server.doctor import Verdict
from triptych_server.doctor.installation import (
    Unmet,
    examine_installation,
    importable,
    packages,
    python,
    side_by_side,
    unmet,
)


def distribution(folder: Path, name: str, version: str, *requirements: str) -> None:
    """What pip leaves of a package: its metadata."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {each}" for each in requirements]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, before all others."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_this_installation_is_a_whole_gateway() -> None:
    found = list(examine_installation())
    assert {finding.verdict for finding in found} == {Verdict.OK}
    assert any(finding.what.startswith("triptych[server") for finding in found)


def test_requirements_are_followed_through_packages_and_extras(installed: Path) -> None:
    distribution(
        installed, "doctor-a", "1.0", "doctor-b[more]>=2", "doctor-none", "doctor-c; extra == 'x'"
    )
    distribution(
        installed, "doctor-b", "2.1", "numpy<1; extra == 'more'", "doctor-no; extra == 'q'"
    )
    found = list(unmet("doctor-a", []))
    assert [(f.package, f.needs, f.by) for f in found] == [
        ("doctor-none", "", "doctor-a"),
        ("numpy", "<1", "doctor-b"),
    ]
    assert found[1].installed
    assert {f.package for f in unmet("doctor-a", ["x"])} == {"doctor-none", "numpy", "doctor-c"}


def test_packages_that_require_each_other_end(installed: Path) -> None:
    distribution(installed, "doctor-a", "1.0", "doctor-b")
    distribution(installed, "doctor-b", "1.0", "doctor-a[x]")
    assert list(unmet("doctor-a", [])) == []


def test_a_package_of_the_wrong_version_names_who_needs_another() -> None:
    [finding] = packages("server-gpu", [Unmet("protobuf", "7.1", "<7,>=6.33.5", "tritonclient")])
    assert finding.verdict is Verdict.PROBLEM
    assert finding.detail == "7.1 is installed; tritonclient needs <7,>=6.33.5"
    assert finding.remedy == "pip install 'triptych[server-gpu]'"


def test_a_client_alone_is_told_what_makes_it_a_gateway() -> None:
    found = list(packages(None, []))
    assert {finding.verdict for finding in found} == {Verdict.OK}
    assert found[-1].remedy == "pip install 'triptych[server]'"


def test_an_old_python_is_a_problem() -> None:
    assert python("3.10.2", ">=3.11").verdict is Verdict.PROBLEM
    assert python("3.14.0rc1", ">=3.11").verdict is Verdict.OK


def test_a_module_that_cannot_be_imported_is_told(installed: Path) -> None:
    (installed / "doctor_broken.py").write_text("import doctor_none")
    (installed / "doctor_damaged.py").write_text("from os import nothing")
    found = {f.what: f for f in importable(["doctor_broken", "doctor_damaged", "doctor_absent"])}
    assert set(found) == {"doctor_broken", "doctor_damaged"}
    assert found["doctor_damaged"].remedy.startswith("pip install --force-reinstall ")


def test_cpu_and_gpu_builds_exclude_each_other() -> None:
    both = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1", "faiss-cpu": "1.15.1"}
    [finding] = side_by_side(both)
    assert finding.verdict is Verdict.PROBLEM
    assert finding.remedy.startswith("pip uninstall -y onnxruntime onnxruntime-gpu && ")
    assert list(side_by_side({"onnxruntime": "1.31.1", "faiss-cpu": "1.15.1"})) == []
