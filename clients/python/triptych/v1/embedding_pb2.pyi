from triptych.v1 import media_pb2 as _media_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EmbedRequest(_message.Message):
    __slots__ = ("model", "contents")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    contents: _containers.RepeatedCompositeFieldContainer[_media_pb2.Content]
    def __init__(self, model: _Optional[str] = ..., contents: _Optional[_Iterable[_Union[_media_pb2.Content, _Mapping]]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("results", "model", "space", "timing")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[EmbedResult]
    model: str
    space: str
    timing: _media_pb2.Timing
    def __init__(self, results: _Optional[_Iterable[_Union[EmbedResult, _Mapping]]] = ..., model: _Optional[str] = ..., space: _Optional[str] = ..., timing: _Optional[_Union[_media_pb2.Timing, _Mapping]] = ...) -> None: ...

class EmbedResult(_message.Message):
    __slots__ = ("embedding", "error")
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    embedding: Embedding
    error: _media_pb2.ItemError
    def __init__(self, embedding: _Optional[_Union[Embedding, _Mapping]] = ..., error: _Optional[_Union[_media_pb2.ItemError, _Mapping]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("vector", "truncated")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    vector: _media_pb2.Vector
    truncated: bool
    def __init__(self, vector: _Optional[_Union[_media_pb2.Vector, _Mapping]] = ..., truncated: _Optional[bool] = ...) -> None: ...

class StreamEmbedRequest(_message.Message):
    __slots__ = ("id", "model", "content")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    model: str
    content: _media_pb2.Content
    def __init__(self, id: _Optional[str] = ..., model: _Optional[str] = ..., content: _Optional[_Union[_media_pb2.Content, _Mapping]] = ...) -> None: ...

class StreamEmbedResponse(_message.Message):
    __slots__ = ("id", "embedding", "error", "space", "timing")
    ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    id: str
    embedding: Embedding
    error: _media_pb2.ItemError
    space: str
    timing: _media_pb2.Timing
    def __init__(self, id: _Optional[str] = ..., embedding: _Optional[_Union[Embedding, _Mapping]] = ..., error: _Optional[_Union[_media_pb2.ItemError, _Mapping]] = ..., space: _Optional[str] = ..., timing: _Optional[_Union[_media_pb2.Timing, _Mapping]] = ...) -> None: ...

class RankRequest(_message.Message):
    __slots__ = ("model", "query", "candidates", "templates", "limit")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    model: str
    query: _media_pb2.Content
    candidates: _containers.RepeatedCompositeFieldContainer[_media_pb2.Content]
    templates: _containers.RepeatedScalarFieldContainer[str]
    limit: int
    def __init__(self, model: _Optional[str] = ..., query: _Optional[_Union[_media_pb2.Content, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[_media_pb2.Content, _Mapping]]] = ..., templates: _Optional[_Iterable[str]] = ..., limit: _Optional[int] = ...) -> None: ...

class RankResponse(_message.Message):
    __slots__ = ("results", "model", "space", "timing")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[RankResult]
    model: str
    space: str
    timing: _media_pb2.Timing
    def __init__(self, results: _Optional[_Iterable[_Union[RankResult, _Mapping]]] = ..., model: _Optional[str] = ..., space: _Optional[str] = ..., timing: _Optional[_Union[_media_pb2.Timing, _Mapping]] = ...) -> None: ...

class RankResult(_message.Message):
    __slots__ = ("index", "score", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    score: Score
    error: _media_pb2.ItemError
    def __init__(self, index: _Optional[int] = ..., score: _Optional[_Union[Score, _Mapping]] = ..., error: _Optional[_Union[_media_pb2.ItemError, _Mapping]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("similarity", "probability")
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    similarity: float
    probability: float
    def __init__(self, similarity: _Optional[float] = ..., probability: _Optional[float] = ...) -> None: ...
