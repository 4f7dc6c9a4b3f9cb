from triptych.v1 import media_pb2 as _media_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]

class CaptionOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAPTION_ORDER_UNSPECIFIED: _ClassVar[CaptionOrder]
    CAPTION_ORDER_LOG_PROBABILITY: _ClassVar[CaptionOrder]
    CAPTION_ORDER_CLIP: _ClassVar[CaptionOrder]
    CAPTION_ORDER_ITM: _ClassVar[CaptionOrder]

class ChatRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHAT_ROLE_UNSPECIFIED: _ClassVar[ChatRole]
    CHAT_ROLE_USER: _ClassVar[ChatRole]
    CHAT_ROLE_ASSISTANT: _ClassVar[ChatRole]
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
CAPTION_ORDER_UNSPECIFIED: CaptionOrder
CAPTION_ORDER_LOG_PROBABILITY: CaptionOrder
CAPTION_ORDER_CLIP: CaptionOrder
CAPTION_ORDER_ITM: CaptionOrder
CHAT_ROLE_UNSPECIFIED: ChatRole
CHAT_ROLE_USER: ChatRole
CHAT_ROLE_ASSISTANT: ChatRole

class Generation(_message.Message):
    __slots__ = ("temperature", "top_k", "top_p", "repetition_penalty", "min_tokens", "max_tokens", "stop", "seed", "num_beams", "length_penalty")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    MIN_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    NUM_BEAMS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_PENALTY_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    min_tokens: int
    max_tokens: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    num_beams: int
    length_penalty: float
    def __init__(self, temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., repetition_penalty: _Optional[float] = ..., min_tokens: _Optional[int] = ..., max_tokens: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., num_beams: _Optional[int] = ..., length_penalty: _Optional[float] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "completion_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    completion_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ...) -> None: ...

class CaptionRequest(_message.Message):
    __slots__ = ("model", "images", "prompt", "num_captions", "generation", "scoring", "order_by")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NUM_CAPTIONS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SCORING_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    model: str
    images: _containers.RepeatedCompositeFieldContainer[_media_pb2.Image]
    prompt: str
    num_captions: int
    generation: Generation
    scoring: CaptionScoring
    order_by: CaptionOrder
    def __init__(self, model: _Optional[str] = ..., images: _Optional[_Iterable[_Union[_media_pb2.Image, _Mapping]]] = ..., prompt: _Optional[str] = ..., num_captions: _Optional[int] = ..., generation: _Optional[_Union[Generation, _Mapping]] = ..., scoring: _Optional[_Union[CaptionScoring, _Mapping]] = ..., order_by: _Optional[_Union[CaptionOrder, str]] = ...) -> None: ...

class CaptionScoring(_message.Message):
    __slots__ = ("clip", "clip_model", "itm", "itm_model")
    CLIP_FIELD_NUMBER: _ClassVar[int]
    CLIP_MODEL_FIELD_NUMBER: _ClassVar[int]
    ITM_FIELD_NUMBER: _ClassVar[int]
    ITM_MODEL_FIELD_NUMBER: _ClassVar[int]
    clip: bool
    clip_model: str
    itm: bool
    itm_model: str
    def __init__(self, clip: _Optional[bool] = ..., clip_model: _Optional[str] = ..., itm: _Optional[bool] = ..., itm_model: _Optional[str] = ...) -> None: ...

class CaptionResponse(_message.Message):
    __slots__ = ("results", "model", "usage", "timing")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CaptionResult]
    model: str
    usage: Usage
    timing: _media_pb2.Timing
    def __init__(self, results: _Optional[_Iterable[_Union[CaptionResult, _Mapping]]] = ..., model: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., timing: _Optional[_Union[_media_pb2.Timing, _Mapping]] = ...) -> None: ...

class CaptionResult(_message.Message):
    __slots__ = ("captions", "error")
    CAPTIONS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    captions: Captions
    error: _media_pb2.ItemError
    def __init__(self, captions: _Optional[_Union[Captions, _Mapping]] = ..., error: _Optional[_Union[_media_pb2.ItemError, _Mapping]] = ...) -> None: ...

class Captions(_message.Message):
    __slots__ = ("captions",)
    CAPTIONS_FIELD_NUMBER: _ClassVar[int]
    captions: _containers.RepeatedCompositeFieldContainer[Caption]
    def __init__(self, captions: _Optional[_Iterable[_Union[Caption, _Mapping]]] = ...) -> None: ...

class Caption(_message.Message):
    __slots__ = ("text", "log_probability", "tokens", "finish_reason", "clip_score", "itm_score")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    CLIP_SCORE_FIELD_NUMBER: _ClassVar[int]
    ITM_SCORE_FIELD_NUMBER: _ClassVar[int]
    text: str
    log_probability: float
    tokens: int
    finish_reason: FinishReason
    clip_score: float
    itm_score: float
    def __init__(self, text: _Optional[str] = ..., log_probability: _Optional[float] = ..., tokens: _Optional[int] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., clip_score: _Optional[float] = ..., itm_score: _Optional[float] = ...) -> None: ...

class AnswerRequest(_message.Message):
    __slots__ = ("model", "image", "question", "choices", "generation")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    image: _media_pb2.Image
    question: str
    choices: _containers.RepeatedScalarFieldContainer[str]
    generation: Generation
    def __init__(self, model: _Optional[str] = ..., image: _Optional[_Union[_media_pb2.Image, _Mapping]] = ..., question: _Optional[str] = ..., choices: _Optional[_Iterable[str]] = ..., generation: _Optional[_Union[Generation, _Mapping]] = ...) -> None: ...

class AnswerResponse(_message.Message):
    __slots__ = ("answer", "log_probability", "finish_reason", "choices", "model", "usage", "timing")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    answer: str
    log_probability: float
    finish_reason: FinishReason
    choices: _containers.RepeatedCompositeFieldContainer[ChoiceScore]
    model: str
    usage: Usage
    timing: _media_pb2.Timing
    def __init__(self, answer: _Optional[str] = ..., log_probability: _Optional[float] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., choices: _Optional[_Iterable[_Union[ChoiceScore, _Mapping]]] = ..., model: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., timing: _Optional[_Union[_media_pb2.Timing, _Mapping]] = ...) -> None: ...

class ChoiceScore(_message.Message):
    __slots__ = ("choice", "log_probability", "probability")
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    choice: str
    log_probability: float
    probability: float
    def __init__(self, choice: _Optional[str] = ..., log_probability: _Optional[float] = ..., probability: _Optional[float] = ...) -> None: ...

class ChatRequest(_message.Message):
    __slots__ = ("model", "messages", "generation")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    model: str
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    generation: Generation
    def __init__(self, model: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping]]] = ..., generation: _Optional[_Union[Generation, _Mapping]] = ...) -> None: ...

class ChatMessage(_message.Message):
    __slots__ = ("role", "contents")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    role: ChatRole
    contents: _containers.RepeatedCompositeFieldContainer[_media_pb2.Content]
    def __init__(self, role: _Optional[_Union[ChatRole, str]] = ..., contents: _Optional[_Iterable[_Union[_media_pb2.Content, _Mapping]]] = ...) -> None: ...

class ChatResponse(_message.Message):
    __slots__ = ("delta", "end")
    DELTA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    delta: ChatDelta
    end: ChatEnd
    def __init__(self, delta: _Optional[_Union[ChatDelta, _Mapping]] = ..., end: _Optional[_Union[ChatEnd, _Mapping]] = ...) -> None: ...

class ChatDelta(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ChatEnd(_message.Message):
    __slots__ = ("finish_reason", "log_probability", "trimmed_messages", "model", "usage", "timing")
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    TRIMMED_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    finish_reason: FinishReason
    log_probability: float
    trimmed_messages: int
    model: str
    usage: Usage
    timing: _media_pb2.Timing
    def __init__(self, finish_reason: _Optional[_Union[FinishReason, str]] = ..., log_probability: _Optional[float] = ..., trimmed_messages: _Optional[int] = ..., model: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., timing: _Optional[_Union[_media_pb2.Timing, _Mapping]] = ...) -> None: ...
