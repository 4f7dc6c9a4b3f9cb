"""What the Grafana dashboard of deploy/ asks Prometheus for."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

DASHBOARD = Path(__file__).parents[2] / "deploy/grafana/triptych.json"
GATEWAY = ("grpc_server_", "triptych_", "process_")
TRITON = ("nv_",)
VLLM = ("vllm:",)
ADDED = {"job", "instance"}  # by Prometheus, to every series

_SERIES = re.compile(r"\b(?:grpc_server_|triptych_|process_|nv_|vllm:)[a-zA-Z0-9_:]*")
_GROUPS = re.compile(r"\bby \(([^)]*)\)")
_MATCHERS = re.compile(r"(\w+)!?=")
_LEGEND = re.compile(r"\{\{(\w+)\}\}")
_SAMPLE = re.compile(r"^([a-zA-Z0-9_:]+)(.*)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="')


@dataclass(frozen=True)
class Query:
    """One query: the series that it reads, and the labels that these must have."""

    text: str
    series: frozenset[str]
    labels: frozenset[str]


def queries() -> Iterator[Query]:
    """All that there are."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            text = target["expr"]
            labels = {*_MATCHERS.findall(text), *_LEGEND.findall(target["legendFormat"])}
            for group in _GROUPS.findall(text):
                labels.update(group.split(", "))
            yield Query(text, frozenset(_SERIES.findall(text)), frozenset(labels - ADDED))


def unanswered(source: tuple[str, ...], url: str) -> set[str]:
    """The queries about `source` for which a scrape of `url` has no series, or not the labels."""
    known = _labels_by_series(url)
    return {
        query.text
        for query in queries()
        for name in query.series
        if name.startswith(source) and not (name in known and query.labels <= known[name])
    }


def _labels_by_series(url: str) -> dict[str, set[str]]:
    # Not read with prometheus_client, which gives counters the suffix that some of Triton's lack.
    with urlopen(url, timeout=30) as response:
        samples = _SAMPLE.findall(response.read().decode())
    found: dict[str, set[str]] = {}
    for name, labels in samples:
        found.setdefault(name, set()).update(_LABEL.findall(labels))
    return found
