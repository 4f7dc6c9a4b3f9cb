"""The seed pools that searches may begin with: whether they are whole, and fit a model."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from triptych_server.doctor.finding import Finding
from triptych_server.doctor.gateway import short
from triptych_server.engines.seed_pools import SeedPool, SeedPools
from triptych_server.engines.seed_pools.pool import CAPTIONS
from triptych_server.errors import TriptychError

AREA = "pools"


async def examine_pools(directory: Path | None, spaces: Mapping[str, str] | None) -> list[Finding]:
    """Read the pools of a directory, whole; `spaces` has that of each model that embeds, by name,
    None where the engines do not answer."""
    pools = SeedPools(directory)
    names = await pools.names()
    if directory is None or not names:
        where = f"none in {directory}" if directory else "no directory of pools"
        remedy = f"triptych mils build-pool NAME --captions FILE --pools {directory or 'DIR'}"
        return [Finding.ok(AREA, "all", where, remedy)]
    findings: list[Finding] = []
    for name in names:
        try:
            pool = await pools.open(name)
        except TriptychError as error:
            remedy = f"{_command(directory, name)} --captions FILE"
            findings.append(Finding.problem(AREA, name, error.message, remedy))
        else:
            findings += fit(directory, pool, spaces)
    return findings


def fit(directory: Path, pool: SeedPool, spaces: Mapping[str, str] | None) -> Iterator[Finding]:
    """Whether a model is of the space of a pool."""
    description = pool.description
    detail = f"{len(pool):,} captions, space {short(description.space)}"
    if spaces is None:
        yield Finding.ok(AREA, pool.name, f"{detail}; not compared with the models")
        return
    alike = [name for name, space in spaces.items() if space == description.space]
    if alike:
        yield Finding.ok(AREA, pool.name, f"{detail}, model {', '.join(alike)}")
        return
    now = spaces.get(description.model)
    state = f"is now of {short(now)}" if now else "is not served"
    captions = shlex.quote(str(directory / pool.name / CAPTIONS))
    model = description.model if now else next(iter(spaces), "NAME")
    remedy = f"{_command(directory, pool.name)} --captions {captions} --model {shlex.quote(model)}"
    detail = f"{detail}: its model {description.model} {state}"
    yield Finding.warning(AREA, pool.name, detail, remedy)


def _command(directory: Path, name: str) -> str:
    return f"triptych mils build-pool {shlex.quote(name)} --pools {shlex.quote(str(directory))}"
