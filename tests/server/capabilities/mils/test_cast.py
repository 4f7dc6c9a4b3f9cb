"""Who takes part in a search, and what is refused before any work."""

from pathlib import Path

import pytest
from calls import text
from mils_models import Models
from pools import write_pool
from searches import request
from vectors import random_vectors

from triptych.v1.mils_pb2 import SOLVE_POLICY_PUBLISHED, Seeds
from triptych_server.capabilities.mils import cast
from triptych_server.capabilities.mils.cast import Casting
from triptych_server.engines.seed_pools import SeedPools
from triptych_server.errors import FailedPrecondition
from triptych_server.services.mils_messages import solve_query


async def test_a_pool_that_is_too_large_to_be_encoded_is_not(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cast, "MOST_ENCODED", 2)
    vectors = random_vectors(3, models.clip.dimension)
    write_pool(tmp_path / "three", ["a", "b", "c"], vectors, space=models.clip.space)
    casting = Casting(models.catalog, models.matcher, SeedPools(tmp_path))
    asked = request(text("red"), seeds=Seeds(pool="three"), policy=SOLVE_POLICY_PUBLISHED)
    with pytest.raises(FailedPrecondition, match="takes pools of 2 at most") as caught:
        await casting.cast(solve_query(asked))
    assert (caught.value.reason, caught.value.field) == ("SEED_POOL_TOO_LARGE", "seeds.pool")
    assert models.engine.runs == []
