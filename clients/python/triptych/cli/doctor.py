"""`triptych doctor`: what is installed, what answers, what is wrong and what mends it."""

import logging
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from triptych.cli.options import Json
from triptych.cli.output import print_json, printable
from triptych.cli.server_flags import ServerFlags, with_server_flags

if TYPE_CHECKING:
    from triptych_server.doctor import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}
_LABELS = {"ok": "hint", "warning": "warning", "problem": "problem"}
_INDENT = 9  # columns of the longest label, and two between
TIMEOUT_S = 5.0


@with_server_flags
def doctor(
    flags: ServerFlags,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", envvar="TRIPTYCH_TARGET", help="Ask a running gateway too."
        ),
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Load what runs in process, and let each model compute.")
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(min=0.1, metavar="SECONDS", help="How long an engine may take to answer."),
    ] = TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Look at the installation, the machine, the settings of `serve`, engines, models and data.

    Problems come first, each with what mends it; the exit status is 1 if there is one. Nothing is
    changed, and a gateway that runs meanwhile is not disturbed.
    """
    from triptych_server.doctor import Verdict, examine

    # What engines would log is among the findings.
    logging.getLogger("triptych_server").addHandler(logging.NullHandler())
    report = examine(flags.load, target=target, load=load, timeout_s=timeout)
    problems = sum(finding.verdict is Verdict.PROBLEM for finding in report.findings)
    warnings = sum(finding.verdict is Verdict.WARNING for finding in report.findings)
    if as_json:
        print_json({"problems": problems, "warnings": warnings, "findings": report.findings})
    else:
        console = Console(markup=False, highlight=False, emoji=False)
        _print_remedies(console, report.findings, Verdict.PROBLEM)
        _print_remedies(console, report.findings, Verdict.WARNING)
        _print_rest(console, report.findings)
        _print_remedies(console, report.findings, Verdict.OK)
        typer.echo(f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}")
    if not report.finished:  # a thread that hangs would hold up the end of the interpreter
        sys.stdout.flush()
        os._exit(1)
    raise typer.Exit(problems > 0)


def _print_remedies(console: Console, findings: Sequence["Finding"], verdict: str) -> None:
    """The findings of a verdict, each over its remedy: a line by itself, to be pasted. Of what is
    well, those that have one."""
    found = [each for each in findings if each.verdict == verdict]
    found = [each for each in found if each.remedy or verdict != "ok"]
    for each in found:
        head = Text(_LABELS[verdict].ljust(_INDENT), _STYLES[verdict])
        head.append(printable(f"{each.area}: {each.what}: {each.detail}"), "default")
        console.print(head, soft_wrap=True)
        console.print(" " * _INDENT + printable(each.remedy), style="cyan", soft_wrap=True)
    if found:
        console.print()


def _print_rest(console: Console, findings: Sequence["Finding"]) -> None:
    """What is well, area by area."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    area = ""
    for each in (finding for finding in findings if finding.verdict == "ok" and not finding.remedy):
        heading = Text(each.area if each.area != area else "", _STYLES["ok"])
        table.add_row(heading, printable(each.what), printable(each.detail))
        area = each.area
    console.print(table)
    console.print()


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
