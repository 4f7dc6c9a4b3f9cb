"""Findings of `triptych doctor`, by what they are about."""

from collections.abc import Iterable
from typing import TypeAlias

from triptych_server.doctor import Finding, Verdict

Findings: TypeAlias = dict[str, list[Finding]]


def by_subject(findings: Iterable[Finding]) -> Findings:
    found: Findings = {}
    for finding in findings:
        found.setdefault(finding.what, []).append(finding)
    return found


def faults(findings: Findings) -> list[Finding]:
    """Those that are not well, all of which must say what to do."""
    bad = [f for found in findings.values() for f in found if f.verdict is not Verdict.OK]
    assert all(finding.remedy for finding in bad)
    return bad
