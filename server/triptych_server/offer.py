"""The services that a gateway offers, and what they need models for."""

from collections.abc import Collection, Mapping

from google.protobuf.descriptor import FileDescriptor

from triptych.v1 import embedding_pb2, mils_pb2, model_pb2, search_pb2, vision_language_pb2
from triptych_server.capabilities.tasks import WRITING, Task
from triptych_server.settings import Service, Settings


def _name(file: FileDescriptor) -> str:
    """The full name of the one service of a file."""
    [service] = file.services_by_name.values()
    return service.full_name


EMBEDDING = _name(embedding_pb2.DESCRIPTOR)
MILS = _name(mils_pb2.DESCRIPTOR)
MODEL = _name(model_pb2.DESCRIPTOR)
SEARCH = _name(search_pb2.DESCRIPTOR)
VISION_LANGUAGE = _name(vision_language_pb2.DESCRIPTOR)
NAMES = {
    Service.EMBEDDING: EMBEDDING,
    Service.MILS: MILS,
    Service.SEARCH: SEARCH,
    Service.VISION_LANGUAGE: VISION_LANGUAGE,
}
TASKS: Mapping[str, Collection[Task]] = {  # that each service needs a default model for
    EMBEDDING: (Task.EMBED,),
    MILS: (Task.EMBED, Task.PROPOSE),
    MODEL: (),
    SEARCH: (Task.EMBED,),
    VISION_LANGUAGE: (Task.CHAT,),  # the least: a model without eyes still chats
}


def offered(settings: Settings) -> Mapping[str, Collection[Task]]:
    """The services to run, by their full names, and the tasks that each needs a model for."""
    names = [MODEL, *(NAMES[service] for service in sorted(settings.services))]
    return {name: TASKS[name] for name in names}


def needs_generators(settings: Settings) -> bool:
    """Whether one of the services to run writes texts."""
    return bool(_tasks(settings) & {*WRITING})


def required(settings: Settings) -> Collection[Task]:
    """What the server as a whole must be able to do."""
    return _tasks(settings) - {*optional(settings)}


def optional(settings: Settings) -> Collection[Task]:
    """What it must be able to do if it has a model for it: beside services that write no texts, a
    server is whole without those that do."""
    beside = any(tasks and not {*tasks} & {*WRITING} for tasks in offered(settings).values())
    return _tasks(settings) & {*WRITING} if beside else ()


def _tasks(settings: Settings) -> set[Task]:
    return set[Task]().union(*offered(settings).values())
