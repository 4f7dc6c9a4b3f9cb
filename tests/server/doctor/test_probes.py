import threading
from collections.abc import Iterator

from triptych_server.doctor import Finding, Verdict
from triptych_server.doctor.probes import Probe, run

WELL = Finding.ok("area", "first", "fine")


def raising() -> Iterator[Finding]:
    yield WELL
    raise RuntimeError("broken\nin two lines")


def test_what_raises_becomes_a_finding_after_what_it_found() -> None:
    report = run(
        [Probe("area", "second", raising, 5), Probe("area", "third", lambda: iter([WELL]), 5)]
    )
    assert report.finished
    assert report.findings[0] == report.findings[2] == WELL
    fault = report.findings[1]
    assert (fault.what, fault.verdict) == ("second", Verdict.PROBLEM)
    assert "RuntimeError: broken" in fault.detail
    assert "\n" not in fault.detail


def test_what_hangs_is_left_alone_after_its_timeout() -> None:
    end = threading.Event()

    def hanging() -> Iterator[Finding]:
        yield WELL
        end.wait()

    report = run([Probe("area", "second", hanging, 0.05), Probe("area", "third", raising, 5)])
    end.set()
    assert not report.finished
    assert [f.what for f in report.findings] == ["first", "second", "first", "third"]
    assert "0.05 s" in report.findings[1].detail
    assert report.findings[1].verdict is Verdict.PROBLEM
