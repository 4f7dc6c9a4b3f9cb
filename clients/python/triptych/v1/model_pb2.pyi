from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_IMAGE_ENCODER: _ClassVar[Role]
    ROLE_TEXT_ENCODER: _ClassVar[Role]
    ROLE_VISION: _ClassVar[Role]
    ROLE_PREFIX: _ClassVar[Role]
    ROLE_IMAGE_PREFIX: _ClassVar[Role]
    ROLE_ITM: _ClassVar[Role]
    ROLE_ITC_IMAGE: _ClassVar[Role]
    ROLE_ITC_TEXT: _ClassVar[Role]

class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATE_UNSPECIFIED: _ClassVar[State]
    STATE_READY: _ClassVar[State]
    STATE_UNAVAILABLE: _ClassVar[State]
ROLE_UNSPECIFIED: Role
ROLE_IMAGE_ENCODER: Role
ROLE_TEXT_ENCODER: Role
ROLE_VISION: Role
ROLE_PREFIX: Role
ROLE_IMAGE_PREFIX: Role
ROLE_ITM: Role
ROLE_ITC_IMAGE: Role
ROLE_ITC_TEXT: Role
STATE_UNSPECIFIED: State
STATE_READY: State
STATE_UNAVAILABLE: State

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "family", "space", "dimension", "source", "default", "encoders", "generator")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    ENCODERS_FIELD_NUMBER: _ClassVar[int]
    GENERATOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    family: str
    space: str
    dimension: int
    source: str
    default: bool
    encoders: _containers.RepeatedCompositeFieldContainer[Encoder]
    generator: Generator
    def __init__(self, name: _Optional[str] = ..., family: _Optional[str] = ..., space: _Optional[str] = ..., dimension: _Optional[int] = ..., source: _Optional[str] = ..., default: _Optional[bool] = ..., encoders: _Optional[_Iterable[_Union[Encoder, _Mapping]]] = ..., generator: _Optional[_Union[Generator, _Mapping]] = ...) -> None: ...

class Generator(_message.Message):
    __slots__ = ("family", "precision", "context_length", "image_tokens", "max_images", "beam_search", "choices", "state", "state_reason", "chat", "proposals")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    IMAGE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGES_FIELD_NUMBER: _ClassVar[int]
    BEAM_SEARCH_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    PROPOSALS_FIELD_NUMBER: _ClassVar[int]
    family: str
    precision: str
    context_length: int
    image_tokens: int
    max_images: int
    beam_search: bool
    choices: bool
    state: State
    state_reason: str
    chat: bool
    proposals: bool
    def __init__(self, family: _Optional[str] = ..., precision: _Optional[str] = ..., context_length: _Optional[int] = ..., image_tokens: _Optional[int] = ..., max_images: _Optional[int] = ..., beam_search: _Optional[bool] = ..., choices: _Optional[bool] = ..., state: _Optional[_Union[State, str]] = ..., state_reason: _Optional[str] = ..., chat: _Optional[bool] = ..., proposals: _Optional[bool] = ...) -> None: ...

class Encoder(_message.Message):
    __slots__ = ("name", "role", "version", "precision", "max_batch_size", "state", "state_reason", "image_height", "image_width", "context_length")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_REASON_FIELD_NUMBER: _ClassVar[int]
    IMAGE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: Role
    version: str
    precision: str
    max_batch_size: int
    state: State
    state_reason: str
    image_height: int
    image_width: int
    context_length: int
    def __init__(self, name: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., version: _Optional[str] = ..., precision: _Optional[str] = ..., max_batch_size: _Optional[int] = ..., state: _Optional[_Union[State, str]] = ..., state_reason: _Optional[str] = ..., image_height: _Optional[int] = ..., image_width: _Optional[int] = ..., context_length: _Optional[int] = ...) -> None: ...
