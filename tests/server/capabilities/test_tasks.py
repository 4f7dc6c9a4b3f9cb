"""Which encoders do a task."""

import pytest

from triptych_server.capabilities.tasks import Task, roles_for
from triptych_server.engines.encoders import Role

PARTS = {Role.VISION, Role.PREFIX}


@pytest.mark.parametrize(
    ("task", "roles", "needed"),
    [
        (Task.EMBED, {Role.TEXT, Role.IMAGE, Role.VISION}, [Role.IMAGE, Role.TEXT]),
        (Task.EMBED, {Role.IMAGE}, [Role.IMAGE]),
        (Task.EMBED, PARTS, []),
        (Task.VISION_LANGUAGE, PARTS | {Role.IMAGE_PREFIX}, [Role.IMAGE_PREFIX]),
        (Task.VISION_LANGUAGE, PARTS | {Role.ITM}, [Role.VISION, Role.PREFIX]),
        (Task.VISION_LANGUAGE, {Role.VISION}, []),
        (Task.CHAT, PARTS | {Role.ITM}, [Role.VISION, Role.PREFIX]),
        (Task.CHAT, {Role.ITM}, []),
        (Task.MATCH, PARTS | {Role.ITM}, [Role.VISION, Role.ITM]),
        (Task.MATCH, {Role.ITM, Role.IMAGE_PREFIX}, []),
        (Task.PROPOSE, PARTS, []),
        (Task.MATCH, {Role.VISION, Role.ITC_IMAGE, Role.ITC_TEXT}, []),
    ],
)
def test_a_task_takes_the_shortest_way(task: Task, roles: set[Role], needed: list[Role]) -> None:
    assert roles_for(task, roles) == needed
