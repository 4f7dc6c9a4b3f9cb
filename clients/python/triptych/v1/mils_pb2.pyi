from triptych.v1 import media_pb2 as _media_pb2
from triptych.v1 import vision_language_pb2 as _vision_language_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TargetAggregation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TARGET_AGGREGATION_UNSPECIFIED: _ClassVar[TargetAggregation]
    TARGET_AGGREGATION_MEAN: _ClassVar[TargetAggregation]
    TARGET_AGGREGATION_MIN: _ClassVar[TargetAggregation]

class SolvePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOLVE_POLICY_UNSPECIFIED: _ClassVar[SolvePolicy]
    SOLVE_POLICY_PUBLISHED: _ClassVar[SolvePolicy]

class SolveStop(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOLVE_STOP_UNSPECIFIED: _ClassVar[SolveStop]
    SOLVE_STOP_STEPS: _ClassVar[SolveStop]
    SOLVE_STOP_PATIENCE: _ClassVar[SolveStop]
    SOLVE_STOP_EVALUATIONS: _ClassVar[SolveStop]
    SOLVE_STOP_DEADLINE: _ClassVar[SolveStop]
TARGET_AGGREGATION_UNSPECIFIED: TargetAggregation
TARGET_AGGREGATION_MEAN: TargetAggregation
TARGET_AGGREGATION_MIN: TargetAggregation
SOLVE_POLICY_UNSPECIFIED: SolvePolicy
SOLVE_POLICY_PUBLISHED: SolvePolicy
SOLVE_STOP_UNSPECIFIED: SolveStop
SOLVE_STOP_STEPS: SolveStop
SOLVE_STOP_PATIENCE: SolveStop
SOLVE_STOP_EVALUATIONS: SolveStop
SOLVE_STOP_DEADLINE: SolveStop

class SolveRequest(_message.Message):
    __slots__ = ("targets", "aggregation", "negatives", "seeds", "proposal", "scoring", "limits", "policy", "seed")
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    AGGREGATION_FIELD_NUMBER: _ClassVar[int]
    NEGATIVES_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    SCORING_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedCompositeFieldContainer[Target]
    aggregation: TargetAggregation
    negatives: _containers.RepeatedCompositeFieldContainer[Target]
    seeds: Seeds
    proposal: Proposal
    scoring: Scoring
    limits: Limits
    policy: SolvePolicy
    seed: int
    def __init__(self, targets: _Optional[_Iterable[_Union[Target, _Mapping]]] = ..., aggregation: _Optional[_Union[TargetAggregation, str]] = ..., negatives: _Optional[_Iterable[_Union[Target, _Mapping]]] = ..., seeds: _Optional[_Union[Seeds, _Mapping]] = ..., proposal: _Optional[_Union[Proposal, _Mapping]] = ..., scoring: _Optional[_Union[Scoring, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., policy: _Optional[_Union[SolvePolicy, str]] = ..., seed: _Optional[int] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("terms",)
    TERMS_FIELD_NUMBER: _ClassVar[int]
    terms: _containers.RepeatedCompositeFieldContainer[TargetTerm]
    def __init__(self, terms: _Optional[_Iterable[_Union[TargetTerm, _Mapping]]] = ...) -> None: ...

class TargetTerm(_message.Message):
    __slots__ = ("content", "vector", "weight")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    content: _media_pb2.Content
    vector: _media_pb2.Vector
    weight: float
    def __init__(self, content: _Optional[_Union[_media_pb2.Content, _Mapping]] = ..., vector: _Optional[_Union[_media_pb2.Vector, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class Seeds(_message.Message):
    __slots__ = ("pool", "pool_limit", "texts", "caption", "caption_model")
    POOL_FIELD_NUMBER: _ClassVar[int]
    POOL_LIMIT_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    CAPTION_MODEL_FIELD_NUMBER: _ClassVar[int]
    pool: str
    pool_limit: int
    texts: _containers.RepeatedScalarFieldContainer[str]
    caption: bool
    caption_model: str
    def __init__(self, pool: _Optional[str] = ..., pool_limit: _Optional[int] = ..., texts: _Optional[_Iterable[str]] = ..., caption: _Optional[bool] = ..., caption_model: _Optional[str] = ...) -> None: ...

class Proposal(_message.Message):
    __slots__ = ("model", "candidates", "examples", "temperature", "top_p", "max_tokens", "guidance")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    model: str
    candidates: int
    examples: int
    temperature: float
    top_p: float
    max_tokens: int
    guidance: str
    def __init__(self, model: _Optional[str] = ..., candidates: _Optional[int] = ..., examples: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., max_tokens: _Optional[int] = ..., guidance: _Optional[str] = ...) -> None: ...

class Scoring(_message.Message):
    __slots__ = ("scorers", "near_duplicate_cosine", "finalists", "finalist_model")
    SCORERS_FIELD_NUMBER: _ClassVar[int]
    NEAR_DUPLICATE_COSINE_FIELD_NUMBER: _ClassVar[int]
    FINALISTS_FIELD_NUMBER: _ClassVar[int]
    FINALIST_MODEL_FIELD_NUMBER: _ClassVar[int]
    scorers: _containers.RepeatedCompositeFieldContainer[Scorer]
    near_duplicate_cosine: float
    finalists: int
    finalist_model: str
    def __init__(self, scorers: _Optional[_Iterable[_Union[Scorer, _Mapping]]] = ..., near_duplicate_cosine: _Optional[float] = ..., finalists: _Optional[int] = ..., finalist_model: _Optional[str] = ...) -> None: ...

class Scorer(_message.Message):
    __slots__ = ("contrastive", "matching", "weight")
    CONTRASTIVE_FIELD_NUMBER: _ClassVar[int]
    MATCHING_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    contrastive: ContrastiveScorer
    matching: MatchingScorer
    weight: float
    def __init__(self, contrastive: _Optional[_Union[ContrastiveScorer, _Mapping]] = ..., matching: _Optional[_Union[MatchingScorer, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class ContrastiveScorer(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class MatchingScorer(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_steps", "patience", "max_evaluations")
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_FIELD_NUMBER: _ClassVar[int]
    MAX_EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    max_steps: int
    patience: int
    max_evaluations: int
    def __init__(self, max_steps: _Optional[int] = ..., patience: _Optional[int] = ..., max_evaluations: _Optional[int] = ...) -> None: ...

class SolveResponse(_message.Message):
    __slots__ = ("step", "result")
    STEP_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    step: SolveStep
    result: SolveResult
    def __init__(self, step: _Optional[_Union[SolveStep, _Mapping]] = ..., result: _Optional[_Union[SolveResult, _Mapping]] = ...) -> None: ...

class SolveStep(_message.Message):
    __slots__ = ("step", "best", "candidates", "spending", "timing")
    STEP_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    SPENDING_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    step: int
    best: ScoredText
    candidates: _containers.RepeatedCompositeFieldContainer[ScoredText]
    spending: Spending
    timing: _media_pb2.Timing
    def __init__(self, step: _Optional[int] = ..., best: _Optional[_Union[ScoredText, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[ScoredText, _Mapping]]] = ..., spending: _Optional[_Union[Spending, _Mapping]] = ..., timing: _Optional[_Union[_media_pb2.Timing, _Mapping]] = ...) -> None: ...

class SolveResult(_message.Message):
    __slots__ = ("texts", "stop", "steps", "best", "spending", "timing", "space", "proposal_model", "scorer_models", "finalist_model")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    SPENDING_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    SPACE_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_MODEL_FIELD_NUMBER: _ClassVar[int]
    SCORER_MODELS_FIELD_NUMBER: _ClassVar[int]
    FINALIST_MODEL_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedCompositeFieldContainer[ScoredText]
    stop: SolveStop
    steps: int
    best: ScoredText
    spending: Spending
    timing: _media_pb2.Timing
    space: str
    proposal_model: str
    scorer_models: _containers.RepeatedScalarFieldContainer[str]
    finalist_model: str
    def __init__(self, texts: _Optional[_Iterable[_Union[ScoredText, _Mapping]]] = ..., stop: _Optional[_Union[SolveStop, str]] = ..., steps: _Optional[int] = ..., best: _Optional[_Union[ScoredText, _Mapping]] = ..., spending: _Optional[_Union[Spending, _Mapping]] = ..., timing: _Optional[_Union[_media_pb2.Timing, _Mapping]] = ..., space: _Optional[str] = ..., proposal_model: _Optional[str] = ..., scorer_models: _Optional[_Iterable[str]] = ..., finalist_model: _Optional[str] = ...) -> None: ...

class ScoredText(_message.Message):
    __slots__ = ("text", "score", "matching_score", "step")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    MATCHING_SCORE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    text: str
    score: float
    matching_score: float
    step: int
    def __init__(self, text: _Optional[str] = ..., score: _Optional[float] = ..., matching_score: _Optional[float] = ..., step: _Optional[int] = ...) -> None: ...

class Spending(_message.Message):
    __slots__ = ("evaluations", "encoded_texts", "known_texts", "ranked_seeds", "matched_pairs", "duplicates", "near_duplicates", "unparsed", "usage")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    ENCODED_TEXTS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_TEXTS_FIELD_NUMBER: _ClassVar[int]
    RANKED_SEEDS_FIELD_NUMBER: _ClassVar[int]
    MATCHED_PAIRS_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    NEAR_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    UNPARSED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    evaluations: int
    encoded_texts: int
    known_texts: int
    ranked_seeds: int
    matched_pairs: int
    duplicates: int
    near_duplicates: int
    unparsed: int
    usage: _vision_language_pb2.Usage
    def __init__(self, evaluations: _Optional[int] = ..., encoded_texts: _Optional[int] = ..., known_texts: _Optional[int] = ..., ranked_seeds: _Optional[int] = ..., matched_pairs: _Optional[int] = ..., duplicates: _Optional[int] = ..., near_duplicates: _Optional[int] = ..., unparsed: _Optional[int] = ..., usage: _Optional[_Union[_vision_language_pb2.Usage, _Mapping]] = ...) -> None: ...

class ProposeRequest(_message.Message):
    __slots__ = ("model", "subjects", "count", "temperature", "top_p", "max_tokens", "guidance", "seed")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model: str
    subjects: _containers.RepeatedScalarFieldContainer[str]
    count: int
    temperature: float
    top_p: float
    max_tokens: int
    guidance: str
    seed: int
    def __init__(self, model: _Optional[str] = ..., subjects: _Optional[_Iterable[str]] = ..., count: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., max_tokens: _Optional[int] = ..., guidance: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class ProposeResponse(_message.Message):
    __slots__ = ("results", "model", "unparsed", "usage", "timing")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNPARSED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ProposedTexts]
    model: str
    unparsed: int
    usage: _vision_language_pb2.Usage
    timing: _media_pb2.Timing
    def __init__(self, results: _Optional[_Iterable[_Union[ProposedTexts, _Mapping]]] = ..., model: _Optional[str] = ..., unparsed: _Optional[int] = ..., usage: _Optional[_Union[_vision_language_pb2.Usage, _Mapping]] = ..., timing: _Optional[_Union[_media_pb2.Timing, _Mapping]] = ...) -> None: ...

class ProposedTexts(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...
