"""`triptych doctor`: what is installed, what answers, what is wrong and what mends it.

Checks are functions that give `Finding` values. They read and ask, and change nothing: a gateway
that runs meanwhile is not disturbed.
"""

from triptych_server.doctor.examination import examine
from triptych_server.doctor.finding import Finding, Verdict
from triptych_server.doctor.probes import Report

__all__ = ["Finding", "Report", "Verdict", "examine"]
