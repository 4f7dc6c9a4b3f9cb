from triptych_export.miniworld.questions import Question, prompt


def test_the_prompt_holds_the_turns_before() -> None:
    first = Question("count", "en", "how many objects are there?", "two")
    assert prompt("what colour is it?") == "Question: what colour is it? Answer:"
    assert prompt("where is it?", [first]) == (
        "Question: how many objects are there? Answer: two. Question: where is it? Answer:"
    )
