import threading
from collections.abc import Iterator

from triptych_server.doctor import Finding, Verdict
from triptych_server.doctor.probes import Probe, run

WAIT_S = 60  # of a test that would fail
WELL = Finding.ok("area", "first", "fine")


def raising() -> Iterator[Finding]:
    yield WELL
    raise RuntimeError("broken\nin two lines")


def test_what_raises_becomes_a_finding_after_what_it_found() -> None:
    report = run(
        [
            Probe("area", "second", raising, WAIT_S),
            Probe("area", "third", lambda: iter([WELL]), WAIT_S),
        ]
    )
    assert report.finished
    assert report.findings[0] == report.findings[2] == WELL
    fault = report.findings[1]
    assert (fault.what, fault.verdict) == ("second", Verdict.PROBLEM)
    assert "RuntimeError: broken" in fault.detail
    assert "\n" not in fault.detail


def test_what_hangs_is_left_alone_after_its_timeout() -> None:
    hangs, end = threading.Event(), threading.Event()

    def hanging() -> Iterator[Finding]:
        yield WELL
        hangs.set()
        end.wait()

    def patient() -> Iterator[Finding]:
        hangs.wait(WAIT_S)
        yield WELL

    report = run(
        [
            Probe("area", "patient", patient, WAIT_S),  # so it hangs before it is looked at
            Probe("area", "second", hanging, 0.05),
            Probe("area", "third", raising, WAIT_S),
        ]
    )
    end.set()
    assert not report.finished
    assert [f.what for f in report.findings] == ["first", "first", "second", "first", "third"]
    assert "0.05 s" in report.findings[2].detail
    assert report.findings[2].verdict is Verdict.PROBLEM
