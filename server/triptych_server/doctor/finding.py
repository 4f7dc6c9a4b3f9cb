"""What an examination finds."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is: a problem keeps something from working, a warning does not yet."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    `area` groups findings, `what` names the thing, and `detail` says in one line how it is.
    `remedy` is a command or a setting that mends it; empty where there is nothing to mend.
    """

    area: str
    what: str
    verdict: Verdict
    detail: str
    remedy: str = ""

    @classmethod
    def ok(cls, area: str, what: str, detail: str, remedy: str = "") -> "Finding":
        """All is well; a `remedy` tells what more could be had."""
        return cls(area, what, Verdict.OK, detail, remedy)

    @classmethod
    def warning(cls, area: str, what: str, detail: str, remedy: str) -> "Finding":
        """It works, but not as well as it should, or not for long."""
        return cls(area, what, Verdict.WARNING, detail, remedy)

    @classmethod
    def problem(cls, area: str, what: str, detail: str, remedy: str) -> "Finding":
        """It does not work."""
        return cls(area, what, Verdict.PROBLEM, detail, remedy)
