"""Questions by lot about a scene, with their answers, in two languages.

An object is named by attributes that no other object of the scene has together, or by its place in
the picture, never by what is asked. Answers are short: ``red``, ``two``, ``yes``, ``top left``,
``to the left``, ``a small red star``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from triptych_export.miniworld import phrases
from triptych_export.miniworld.captions import describe
from triptych_export.miniworld.phrases import Phrase
from triptych_export.miniworld.questions import Question, QuestionType, possible_questions
from triptych_export.miniworld.speaker import Speaker
from triptych_export.miniworld.world import (
    BACKGROUNDS,
    COLOURS,
    INVERSE,
    POSITIONS,
    RELATIONS,
    SHAPES,
    SIZES,
    Language,
    Object,
    Scene,
)

_DIRECTIONS = {
    "to the left of": "to the left",
    "to the right of": "to the right",
    "above": "above",
    "below": "below",
}
_NUMBERS = {"en": ("zero", "one", "two"), "zh": ("零个", "一个", "两个")}
_NOTHING = {"en": "nothing", "zh": "没有东西"}
_TEXTURES = {"plain": "纯色", "striped": "条纹"}


def ask(
    scene: Scene,
    kind: QuestionType,
    language: Language,
    rng: np.random.Generator,
    focus: int | None = None,
) -> Question:
    """A question of one type by lot.

    With ``focus``, the object that was spoken of last, objects may be named ``it`` and ``the other
    object``. Raises ValueError for a type that is not among ``possible_questions(scene)``.
    """
    if kind not in possible_questions(scene):
        raise ValueError(f"no question of type {kind} can be asked of this scene")
    asked = _ASK[kind](Speaker(scene, language, rng, focus))
    return replace(asked, text=typed(asked.text, language, rng))


def typed(text: str, language: Language, rng: np.random.Generator) -> str:
    """The question as one of many people might type it: capital or not, which mark, or none."""
    capital, mark = rng.uniform(size=2)
    if language == "en" and capital < 0.35:
        text = text[0].upper() + text[1:]
    if mark < 0.1:
        return text.removesuffix("?")
    if language == "zh" and mark < 0.55:
        return text.replace("?", "\uff1f")
    return text


def _colour(speaker: Speaker) -> Question:
    index = speaker.pick_object()
    text = speaker.say(
        ("what colour is {it}?", "what color is {it}?"),
        ("{it}是什么颜色?",),
        it=speaker.name(index, "colour"),
    )
    answer = speaker.word(COLOURS, speaker.scene.objects[index].colour)
    return speaker.question("colour", text, answer, index)


def _shape(speaker: Speaker) -> Question:
    index = speaker.pick_object()
    text = speaker.say(
        ("what shape is {it}?",), ("{it}是什么形状?",), it=speaker.name(index, "shape")
    )
    answer = speaker.word(SHAPES, speaker.scene.objects[index].shape)
    return speaker.question("shape", text, answer, index)


def _size(speaker: Speaker) -> Question:
    index = speaker.pick_object()
    text = speaker.say(
        ("what size is {it}?", "is {it} small or large?"),
        ("{it}有多大?", "{it}是大的还是小的?"),
        it=speaker.name(index, "size"),
    )
    answer = speaker.word(SIZES, speaker.scene.objects[index].size)
    return speaker.question("size", text, answer, index)


def _texture(speaker: Speaker) -> Question:
    index = speaker.pick_object()
    text = speaker.say(
        ("is {it} plain or striped?", "what texture is {it}?"),
        ("{it}是纯色还是条纹?", "{it}是什么纹理?"),
        it=speaker.name(index, "texture"),
    )
    answer = speaker.word(_TEXTURES, speaker.scene.objects[index].texture)
    return speaker.question("texture", text, answer, index)


def _count(speaker: Speaker) -> Question:
    phrase = Phrase() if speaker.chance(0.3) else _maybe_absent(speaker, most=1, absent=0.4)
    number = sum(phrase.fits(thing) for thing in speaker.scene.objects)
    text = speaker.say(
        ("how many {things} are there?",),
        ("有几个{things}?",),
        things=phrase.plural(speaker.language),
    )
    return speaker.question("count", text, _NUMBERS[speaker.language][number])


def _existence(speaker: Speaker) -> Question:
    phrase = _maybe_absent(speaker, most=4, absent=0.5)
    fitting = [i for i, thing in enumerate(speaker.scene.objects) if phrase.fits(thing)]
    text = speaker.say(
        ("is there {thing}?",), ("有{thing}吗?",), thing=phrase.indefinite(speaker.language)
    )
    answers = ("no", "yes") if speaker.language == "en" else ("没有", "有")
    subject = fitting[0] if len(fitting) == 1 else None
    return speaker.question("existence", text, answers[bool(fitting)], subject)


def _maybe_absent(speaker: Speaker, most: int, absent: float) -> Phrase:
    """A phrase of up to ``most`` attributes, by chance one that fits no object of the scene."""
    things = speaker.scene.objects
    phrase = phrases.some_of(things[speaker.pick_object()], most, speaker.rng)
    if speaker.chance(absent):
        missing = [near for near in phrase.neighbours() if not any(map(near.fits, things))]
        if missing:
            return speaker.choose(missing)
    return phrase


def _position(speaker: Speaker) -> Question:
    assert speaker.scene.position is not None
    text = speaker.say(("where is {it}?",), ("{it}在哪里?",), it=speaker.name(0))
    return speaker.question("position", text, speaker.word(POSITIONS, speaker.scene.position), 0)


def _relation(speaker: Speaker) -> Question:
    return speaker.choose((_which_side, _where_of_two, _what_is_beside, _what_is_there))(speaker)


def _which_side(speaker: Speaker) -> Question:
    index = speaker.pick_object()
    relation = _relation_of(speaker.scene, index)
    text = speaker.say(
        ("where is {it} relative to {other}?",),
        ("{it}在{other}的哪边?",),
        it=speaker.name(index, "relation"),
        other=_in_full(speaker, 1 - index),
    )
    answer = _DIRECTIONS[relation] if speaker.language == "en" else RELATIONS[relation]
    return speaker.question("relation", text, answer, index)


def _where_of_two(speaker: Speaker) -> Question:
    index = speaker.pick_object()
    relation, other = _relation_of(speaker.scene, index), _in_full(speaker, 1 - index)
    text = speaker.say(("where is {it}?",), ("{it}在哪里?",), it=speaker.name(index, "relation"))
    english, chinese = f"{relation} {other}", f"在{other}的{RELATIONS[relation]}"
    return speaker.question(
        "relation", text, english if speaker.language == "en" else chinese, index
    )


def _what_is_beside(speaker: Speaker) -> Question:
    index = speaker.pick_object()
    true = _relation_of(speaker.scene, 1 - index)
    relation = true if speaker.chance(0.75) else speaker.choose(tuple(RELATIONS))
    text = speaker.say(
        ("what is {relation} {it}?",),
        ("{it}的{relation}是什么?",),
        relation=speaker.word(RELATIONS, relation),
        it=speaker.name(index, "relation"),
    )
    if relation != true:
        return speaker.question("relation", text, _NOTHING[speaker.language])
    answer = describe(speaker.scene.objects[1 - index], speaker.language)
    return speaker.question("relation", text, answer, 1 - index)


def _what_is_there(speaker: Speaker) -> Question:
    index = speaker.pick_object()
    place = phrases.place(speaker.scene, index, speaker.language)
    text = speaker.say(("what is {place}?",), ("{place}是什么?",), place=place)
    answer = describe(speaker.scene.objects[index], speaker.language)
    return speaker.question("relation", text, answer, index)


def _background(speaker: Speaker) -> Question:
    text = speaker.say(
        ("what colour is the background?", "what color is the background?"), ("背景是什么颜色?",)
    )
    answer = speaker.word(BACKGROUNDS, speaker.scene.background)
    return speaker.question("background", text, answer)


def _yes_no(speaker: Speaker) -> Question:
    where = "position" if speaker.scene.relation is None else "relation"
    fact = speaker.choose(("colour", "shape", "size", "texture", where, "background"))
    if fact == "background":
        return _is_background(speaker)
    if fact == "relation":
        return _is_beside(speaker)
    index = speaker.pick_object()
    thing = speaker.scene.objects[index]
    table = {"colour": COLOURS, "shape": SHAPES, "size": SIZES, "texture": _TEXTURES}
    english, chinese = "is {it} {claim}?", "{it}是{claim}的吗?"
    if fact == "shape":
        english, chinese = "is {it} a {claim}?", "{it}是{claim}吗?"
    if fact == "position":
        english, chinese = "is {it} in the {claim}?", "{it}在{claim}吗?"
        truth, values = str(speaker.scene.position), POSITIONS
    else:
        truth, values = str(getattr(thing, fact)), table[fact]
    claim = _claim(speaker, truth, tuple(values), _of_other(speaker.scene, index, fact))
    text = speaker.say(
        (english,), (chinese,), it=speaker.name(index, fact), claim=speaker.word(values, claim)
    )
    return speaker.question("yes_no", text, _verdict(speaker, claim == truth), index)


def _is_background(speaker: Speaker) -> Question:
    truth = speaker.scene.background
    claim = _claim(speaker, truth, tuple(BACKGROUNDS), None)
    text = speaker.say(
        ("is the background {claim}?",),
        ("背景是{claim}的吗?",),
        claim=speaker.word(BACKGROUNDS, claim),
    )
    return speaker.question("yes_no", text, _verdict(speaker, claim == truth))


def _is_beside(speaker: Speaker) -> Question:
    index = speaker.pick_object()
    truth = _relation_of(speaker.scene, index)
    claim = _claim(speaker, truth, tuple(RELATIONS), INVERSE[truth])
    text = speaker.say(
        ("is {it} {claim} {other}?",),
        ("{it}在{other}的{claim}吗?",),
        it=speaker.name(index, "relation"),
        claim=speaker.word(RELATIONS, claim),
        other=_in_full(speaker, 1 - index),
    )
    return speaker.question("yes_no", text, _verdict(speaker, claim == truth), index)


def _claim(speaker: Speaker, truth: str, values: Sequence[str], tempting: str | None) -> str:
    """The truth or, as often, something else: half of the time what is easily taken for it."""
    if speaker.chance(0.5):
        return truth
    if tempting not in (None, truth) and speaker.chance(0.5):
        return str(tempting)
    return speaker.choose([value for value in values if value != truth])


def _verdict(speaker: Speaker, true: bool) -> str:
    return (("no", "yes") if speaker.language == "en" else ("不是", "是"))[true]


def _of_other(scene: Scene, index: int, attribute: str) -> str | None:
    """The other object's value of an attribute, if there is another object."""
    if scene.relation is None:
        return None
    return str(getattr(scene.objects[1 - index], attribute))


def _in_full(speaker: Speaker, index: int) -> str:
    """Colour and shape, in which the objects of a pair always differ."""
    thing: Object = speaker.scene.objects[index]
    return Phrase(colour=thing.colour, shape=thing.shape).definite(speaker.language)


def _relation_of(scene: Scene, index: int) -> str:
    """Where the object is as seen from the other one."""
    assert scene.relation is not None
    return scene.relation if index == 0 else INVERSE[scene.relation]


_ASK: dict[QuestionType, Callable[[Speaker], Question]] = {
    "colour": _colour,
    "shape": _shape,
    "size": _size,
    "texture": _texture,
    "count": _count,
    "existence": _existence,
    "position": _position,
    "relation": _relation,
    "background": _background,
    "yes_no": _yes_no,
}
