"""What models are used for, and what each use needs."""

from collections.abc import Container
from enum import StrEnum

from triptych_server.engines.encoders import Role


class Task(StrEnum):
    """A use of models; each has its own default model."""

    EMBED = "embedding"
    VISION_LANGUAGE = "text about pictures"
    MATCH = "image-text matching"
    CHAT = "chat"  # in words alone at least; models of VISION_LANGUAGE do it too
    PROPOSE = "proposals"  # texts that score higher than others


WRITING = (Task.VISION_LANGUAGE, Task.CHAT, Task.PROPOSE)  # the tasks that need a generator
ENCODING = (Task.EMBED, Task.VISION_LANGUAGE, Task.MATCH, Task.CHAT)  # that may need encoders

_TO_PREFIX = ((Role.IMAGE_PREFIX,), (Role.VISION, Role.PREFIX))
_WAYS = {
    Task.VISION_LANGUAGE: _TO_PREFIX,
    Task.MATCH: ((Role.VISION, Role.ITM),),
    Task.CHAT: _TO_PREFIX,
    Task.PROPOSE: (),
}


def roles_for(task: Task, roles: Container[Role]) -> list[Role]:
    """Those of a model's `roles` that do the encoders' part of a task; empty if they cannot, or if
    it has none.

    Pictures become prefixes in one network where there is one, otherwise in two.
    """
    if task is Task.EMBED:
        return [role for role in (Role.IMAGE, Role.TEXT) if role in roles]
    ways = _WAYS[task]
    return next((list(way) for way in ways if all(role in roles for role in way)), [])
