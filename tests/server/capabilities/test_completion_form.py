"""What a model that continues text is asked."""

from dataclasses import replace

import numpy as np

from triptych_server.capabilities.completion_form import CompletionForm
from triptych_server.capabilities.forms import Place
from triptych_server.capabilities.prompting import Scored
from triptych_server.engines.generators.protocol import SoftPrefix
from triptych_server.engines.generators.spec import ProposalTemplates, Templates
from triptych_server.media.content import Text

PROPOSALS = ProposalTemplates("{percent} {text}", "\n", "\n100", "a {subject}", examples=6)
FORM = CompletionForm(Templates(), PROPOSALS)
FIRST, SECOND = (SoftPrefix(np.full((1, 2), number, np.float32)) for number in (1, 2))
CONVERSATION = [
    [Text("what"), Place(0), Text("is it? ")],
    [Text("a square")],
    [Text("and this?"), Place(1)],
]


def test_caption_continues_its_beginning_after_the_picture() -> None:
    draft = FORM.caption("a photo of")
    assert draft.prompt([FIRST]) == [FIRST, Text("a photo of")]
    assert draft.words == [Text("a photo of")]


def test_question_is_put_into_the_form_of_the_checkpoint() -> None:
    draft = FORM.question("what?")
    assert draft.prompt([FIRST]) == [FIRST, Text("Question: what? Answer:")]
    assert draft.continuation("red") == " red"


def test_pictures_stand_before_all_text() -> None:
    text = "Question: what is it? Answer: a square. Question: and this? Answer:"
    draft = FORM.conversation(CONVERSATION, 0)
    assert draft.prompt([FIRST, SECOND]) == [FIRST, SECOND, Text(text)]


def test_pictures_of_messages_that_are_left_out_stay() -> None:
    draft = FORM.conversation(CONVERSATION, 2)
    assert draft.pictures == [0, 1]
    expected = [FIRST, SECOND, Text("Question: and this? Answer:")]
    assert draft.prompt([FIRST, SECOND]) == expected


def test_proposal_continues_the_examples_up_to_the_next_one() -> None:
    asked = FORM.proposals([Scored("a cat", 0.3)])
    assert asked.draft.prompt([]) == asked.draft.words == [Text("30 a cat\n100")]
    assert asked.reply.stop == ["\n"]
    assert asked.reply.structure is None
    assert asked.reply.read(" a red cat") == ["a red cat"]


def test_a_model_that_continues_text_writes_no_lists() -> None:
    assert FORM.proposals([], together=8).reply.most == 1


def test_spaces_end_no_text() -> None:
    form = CompletionForm(Templates(), replace(PROPOSALS, separator="  "))
    assert form.proposals([]).reply.stop == []


def test_caption_begins_with_its_subject() -> None:
    asked = FORM.subject("striped\n {subject} star")
    assert asked.draft.prompt([]) == [Text("\n100 a striped {subject} star")]
    assert asked.reply.read(" on a lawn") == ["a striped {subject} star on a lawn"]
