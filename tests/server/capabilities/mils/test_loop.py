"""The search for a hidden word: what it finds, shows, counts, and where it ends."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise, product

import numpy as np
import pytest
from mils_parts import (
    LETTERS,
    MILLISECOND,
    WORD,
    Mutator,
    Parrot,
    WordJudge,
    WordScorer,
    events,
    one_hot,
    search,
)

from triptych_server.capabilities.mils.candidates import Candidate, Seed
from triptych_server.capabilities.mils.course import HEATS
from triptych_server.capabilities.mils.events import Stop
from triptych_server.capabilities.mils.loop import DOUBT, solve
from triptych_server.capabilities.mils.proposer import Proposals
from triptych_server.capabilities.mils.scorer import Embedded, Scores, ScoringCost, Vectors
from triptych_server.errors import Internal, Unavailable


def texts(candidates: Sequence[Candidate]) -> list[str]:
    return [candidate.text for candidate in candidates]


@pytest.mark.parametrize("embeds", [True, False])
@pytest.mark.parametrize("seeds", [(), ("abcdef", "fedcba", "aaaaaa")])
async def test_the_word_is_found(seeds: Sequence[str], embeds: bool) -> None:
    solving = solve(search(*seeds), Mutator(), WordScorer(embeds=embeds), None, None)
    steps, result = await events(solving)
    assert result.texts[0].text == WORD
    assert result.texts[0].score == pytest.approx(1)
    assert result.best is result.texts[0]
    assert steps[result.best.step].best is result.best
    assert result.spending.evaluations < 400 < len(LETTERS) ** len(WORD)


async def test_chance_alone_does_not_find_the_word() -> None:
    proposer = Mutator(examples=0)
    _, result = await events(solve(search(), proposer, WordScorer(), None, None))
    assert result.best is not None
    assert result.best.text != WORD
    assert proposer.shown == [[]] * len(proposer.shown)


async def test_the_seeds_are_the_first_step() -> None:
    solving = solve(search("aaaaaa", "facccc", "facaca"), Mutator(), WordScorer(), None, None)
    steps, _ = await events(solving)
    assert steps[0].step == 0
    assert texts(steps[0].candidates) == ["facaca", "facccc", "aaaaaa"]
    assert steps[0].best is steps[0].candidates[0]
    assert {candidate.step for candidate in steps[0].candidates} == {0}
    assert steps[0].spending.encoded_texts == 3
    assert steps[0].spending.evaluations == 0
    assert steps[0].times.inference_ns == MILLISECOND
    assert steps[0].times.generation_ns == 0


async def test_a_search_may_begin_with_nothing() -> None:
    proposer = Mutator()
    steps, _ = await events(solve(search(), proposer, WordScorer(), None, None))
    assert steps[0].best is None
    assert steps[0].candidates == []
    assert proposer.shown[0] == []
    assert len(steps[1].candidates) == 8


async def test_the_best_seeds_alone_take_part() -> None:
    seeds = ["".join(letters) for letters in product("acd", repeat=6)]
    proposer = Mutator(examples=20)
    solving = solve(search(*seeds, begin_with=10, steps=1), proposer, WordScorer(), None, None)
    steps, result = await events(solving)
    assert len(steps[0].candidates) == 10
    assert steps[0].spending.encoded_texts == len(seeds)
    assert {len(shown) for shown in proposer.shown[:1]} == {10}
    assert steps[0].candidates[0].score == pytest.approx(4 / 6)  # all but f and e
    scored = set(seeds)
    assert not scored & set(texts(steps[1].candidates))
    assert len(result.texts) == 10 + len(steps[1].candidates)


async def test_all_seeds_count_of_which_few_take_part() -> None:
    seeds = list(map("".join, islice(product(LETTERS, repeat=6), 30_000)))
    solving = solve(search(*seeds, cosine=1, published=True), Mutator(), WordScorer(), None, None)
    steps, result = await events(solving)
    assert steps[0].spending.encoded_texts == 30_000
    assert len(steps[0].candidates) == 64
    assert texts(result.texts[:1]) == [WORD]
    assert WORD not in seeds
    new = {each.text for step in steps[1:] for each in step.candidates}
    assert not new & set(seeds)


async def test_known_vectors_are_not_embedded() -> None:
    known = {text: one_hot([text])[0] for text in ("aaaaaa", "facccc")}
    seeds = [Seed(text, known.get(text)) for text in ("aaaaaa", "facade", "facccc", "facaca")]
    asked = replace(search(steps=0), seeds=seeds)
    steps, result = await events(solve(asked, Mutator(), WordScorer(), None, None))
    assert texts(result.texts) == ["facade", "facaca", "facccc", "aaaaaa"]
    assert [each.score for each in result.texts] == pytest.approx([1, 4 / 6, 3 / 6, 2 / 6])
    assert steps[0].spending.encoded_texts == 2
    asked = replace(asked, seeds=[Seed(text, vector) for text, vector in known.items()])
    scorer = WordScorer()
    await events(solve(asked, Mutator(), scorer, None, None))
    assert scorer.log.count("embed") == 0


async def test_known_vectors_are_no_use_to_a_scorer_without() -> None:
    seeds = [Seed("aaaaaa", one_hot(["aaaaaa"])[0]), Seed("facade")]
    asked = replace(search(steps=0), seeds=seeds)
    _, result = await events(solve(asked, Mutator(), WordScorer(embeds=False), None, None))
    assert texts(result.texts) == ["facade", "aaaaaa"]


async def test_examples_are_the_best_worst_first() -> None:
    proposer = Mutator(examples=3)
    solving = solve(
        search("aaaaaa", "facaca", "bbbbbb", "facadd"), proposer, WordScorer(), None, None
    )
    await events(solving)
    assert texts(proposer.shown[0]) == ["aaaaaa", "facaca", "facadd"]
    for shown in proposer.shown:
        scores = [candidate.score for candidate in shown]
        assert scores == sorted(scores)


async def test_examples_do_not_say_the_same() -> None:
    proposer = Mutator(examples=6)
    seeds = ["facade", "facada", "faaade", "bbbbbb"]
    await events(solve(search(*seeds, cosine=0.7, steps=1), proposer, WordScorer(), None, None))
    assert texts(proposer.shown[0]) == ["bbbbbb", "facade"]


async def test_nothing_is_scored_twice_nor_near_what_was() -> None:
    scorer = WordScorer()
    solving = solve(search("aaaaaa", cosine=0.7), Mutator(), scorer, None, None)
    _, result = await events(solving)
    vectors = one_hot(scorer.scored)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0)
    assert cosines.max() <= 0.7
    assert result.spending.near_duplicates > 0
    assert result.spending.evaluations == len(scorer.scored) - 1


async def test_only_equal_texts_are_duplicates_at_a_cosine_of_1() -> None:
    seeds = ["facada", "facade"]
    solving = solve(search(*seeds, cosine=1), Mutator(), WordScorer(), None, None)
    _, result = await events(solving)
    assert result.spending.near_duplicates == 0
    assert result.spending.duplicates > 0


async def test_duplicates_are_counted() -> None:
    parrot = Parrot(["facade", "FACADE ", "facade", "aaaaaa"], unparsed=2)
    steps, result = await events(solve(search("aaaaaa", steps=1), parrot, WordScorer(), None, None))
    assert texts(steps[1].candidates) == ["facade"]
    assert result.spending.evaluations == 1
    assert result.spending.duplicates == 3 + 4 + 4  # in three rounds
    assert result.spending.unparsed == 2 * 3


async def test_nothing_is_asked_for_again_where_the_published_loop_does_not() -> None:
    parrot = Parrot(["facade"])
    searching = search("aaaaaa", steps=2, candidates=5, published=True)
    await events(solve(searching, parrot, WordScorer(), None, None))
    assert [count for count, _ in parrot.asked] == [5, 5]


async def test_the_published_loop_shows_the_best_even_when_it_stands_still() -> None:
    parrot = Parrot(["facade"], examples=2)
    searching = search("facade", "facada", "aaaaaa", steps=4, published=True)
    await events(solve(searching, parrot, WordScorer(), None, None))
    assert [texts(shown) for _, shown in parrot.asked] == [["facada", "facade"]] * 4


async def test_the_longer_a_search_stands_still_the_wider_is_what_it_shows() -> None:
    parrot = Parrot([], unparsed=5, examples=2)
    seeds = ["".join(letters) for letters in product("ade", repeat=4)]
    searching = search(*seeds, steps=4, candidates=5)
    _, result = await events(solve(searching, parrot, WordScorer("edad"), None, None))
    places = {text: place for place, text in enumerate(texts(result.texts))}
    other = [max(places[text] for text in texts(shown)) for _, shown in parrot.asked]
    rounds = [other[start : start + 3] for start in range(0, len(other), 3)]
    assert [first for first, _, _ in rounds] == [1, 1, 1, 1]
    assert max(rounds[0]) < 8 < max(rounds[3]) < 64


async def test_missing_texts_are_asked_for_again_of_others_and_hotter() -> None:
    parrot = Parrot(["aaaaab", "aaaaac", "aaaaad"], examples=3)
    seeds = ["aaaaaa", "faaaaa", "facaaa", "facada", "facade", "dddddd"]
    await events(solve(search(*seeds, steps=1, candidates=5), parrot, WordScorer(), None, None))
    assert [count for count, _ in parrot.asked] == [5, 2, 2]
    shown = [texts(examples) for _, examples in parrot.asked]
    assert shown[0] == ["facaaa", "facada", "facade"]
    assert all(each[-1] == "facade" and len(each) == 3 for each in shown)
    assert shown[1] != shown[0]
    proposer = Mutator()
    await events(solve(search(WORD, candidates=200, steps=3), proposer, WordScorer(), None, None))
    assert set(proposer.heats) == {1, 1.4, 1.8}


@pytest.mark.parametrize(("seeds", "asked"), [((), 1), (("aaaaaa",), 1), (("abc", "bcd"), 2)])
async def test_a_greedy_proposer_is_not_asked_the_same_again(
    seeds: Sequence[str], asked: int
) -> None:
    parrot = Parrot(seeds[:1], unparsed=not seeds, greedy=True)
    scorer = WordScorer("abc" if len(seeds) > 1 else WORD)
    solving = solve(search(*seeds, candidates=1, steps=4), parrot, scorer, None, None)
    _, result = await events(solving)
    assert (len(parrot.asked), result.steps) == (asked, 4)


async def test_a_greedy_proposer_is_shown_others_where_there_are_some() -> None:
    parrot = Parrot(["aaaaaa"], examples=3, greedy=True)
    seeds = ["aaaaaa", "faaaaa", "facaaa", "facada", "facade", "dddddd"]
    await events(solve(search(*seeds, candidates=1, steps=99), parrot, WordScorer(), None, None))
    shown = [tuple(texts(examples)) for _, examples in parrot.asked]
    assert len(set(shown)) == len(shown) == 10  # the best, and two of the five others


async def test_more_texts_than_asked_for_are_not_scored() -> None:
    parrot = Parrot(["aaaaab", "aaaaac", "aaaaad"])
    solving = solve(search(candidates=2, steps=1), parrot, WordScorer(), None, None)
    steps, _ = await events(solving)
    assert sorted(texts(steps[1].candidates)) == ["aaaaab", "aaaaac"]


async def test_one_candidate_at_a_time_finds_better_ones() -> None:
    asked = search("aaaaaa", candidates=1, steps=400)
    steps, result = await events(solve(asked, Mutator(), WordScorer(), None, None))
    assert max(len(step.candidates) for step in steps) == 1
    assert texts(result.texts[:1]) == [WORD]


@pytest.mark.parametrize("parrot", [Parrot(), Parrot(unparsed=8), Parrot(["aaaaaa"])])
async def test_a_proposer_without_new_texts_ends_by_patience(parrot: Parrot) -> None:
    solving = solve(search("aaaaaa", patience=3), parrot, WordScorer(), None, None)
    steps, result = await events(solving)
    assert (result.stop, result.steps, len(steps)) == (Stop.PATIENCE, 3, 4)
    assert texts(result.texts) == ["aaaaaa"]
    assert result.spending.unparsed == parrot.unparsed * 9
    assert result.spending.duplicates == len(parrot.texts) * 9


async def test_without_any_text_there_is_no_best() -> None:
    _, result = await events(solve(search(patience=2), Parrot(), WordScorer(), None, None))
    assert (result.best, result.texts, result.stop) == (None, [], Stop.PATIENCE)


async def test_without_patience_standing_still_goes_on() -> None:
    solving = solve(search("aaaaaa", steps=7), Parrot(["aaaaaa"]), WordScorer(), None, None)
    _, result = await events(solving)
    assert (result.stop, result.steps) == (Stop.STEPS, 7)


async def test_no_steps_score_the_seeds_alone() -> None:
    proposer = Mutator()
    solving = solve(search("aaaaaa", WORD, steps=0), proposer, WordScorer(), None, None)
    _, result = await events(solving)
    assert (result.stop, result.steps, texts(result.texts)) == (Stop.STEPS, 0, [WORD, "aaaaaa"])
    assert proposer.shown == []


async def test_the_last_step_takes_what_is_left_of_the_evaluations() -> None:
    solving = solve(search("aaaaaa", evaluations=11), Mutator(), WordScorer(), None, None)
    steps, result = await events(solving)
    assert [len(step.candidates) for step in steps] == [1, 8, 3]
    assert (result.stop, result.spending.evaluations) == (Stop.EVALUATIONS, 11)


async def test_patience_counts_steps_after_the_best() -> None:
    solving = solve(search("aaaaaa", patience=4), Mutator(), WordScorer(), None, None)
    _, result = await events(solving)
    assert result.stop is Stop.PATIENCE
    assert result.best is not None
    assert result.steps == result.best.step + 4


async def test_equal_scores_do_not_change_the_best() -> None:
    solving = solve(search("facadd", patience=1), Parrot(["aacade"]), WordScorer(), None, None)
    steps, result = await events(solving)
    assert steps[1].candidates[0].score == steps[0].candidates[0].score
    assert result.best is steps[0].candidates[0]
    assert texts(result.texts) == ["facadd", "aacade"]


async def test_survivors_are_scored_again_where_the_published_loop_does() -> None:
    scorer = WordScorer()
    solving = solve(
        search("aaaaaa", "facaca", steps=2, cosine=1, published=True), Mutator(), scorer, None, None
    )
    steps, result = await events(solving)
    assert scorer.scored[:4] == ["aaaaaa", "facaca", "aaaaaa", "facaca"]
    again = len(scorer.scored) - 2 - result.spending.evaluations
    assert again == 2 + 6
    assert result.spending.known_texts == again
    assert len({candidate.text for step in steps for candidate in step.candidates}) == len(
        result.texts
    )


async def test_finalists_come_first_by_their_matching_score() -> None:
    judge = WordJudge("facada")
    solving = solve(
        search(WORD, "facada", "facaaa", "bbbbbb", steps=0, finalists=3),
        Mutator(),
        WordScorer(),
        judge,
        None,
    )
    _, result = await events(solving)
    assert texts(result.texts) == ["facada", WORD, "facaaa", "bbbbbb"]
    assert result.best is not None
    assert result.best.text == WORD
    matching = [each.matching_score for each in result.texts]
    assert matching == [1, pytest.approx(5 / 6), pytest.approx(5 / 6), None]
    assert result.spending.matched_pairs == 3
    assert judge.scored == [WORD, "facada", "facaaa"]


@pytest.mark.parametrize(("word", "steps"), [("facade", 2), ("xxxxxx", 2 * DOUBT)])
async def test_a_search_stands_still_longer_where_no_finalist_matches(
    word: str, steps: int
) -> None:
    judge = WordJudge(word)
    searching = search("facada", "aaaaaa", patience=2, finalists=2)
    _, result = await events(solve(searching, Parrot(), WordScorer(), judge, None))
    assert (result.stop, result.steps) == (Stop.PATIENCE, steps)
    assert judge.scored == ["facada", "aaaaaa"]  # once each
    assert texts(result.texts) == ["facada", "aaaaaa"]
    assert None not in [each.matching_score for each in result.texts]


async def test_a_doubtful_search_finds_what_matches() -> None:
    class Late(Parrot):
        async def propose(
            self, examples: Sequence[Candidate], count: int, *, seed: int, heat: float
        ) -> Proposals:
            self.texts = [WORD] if len(self.asked) >= 4 * len(HEATS) else []
            return await super().propose(examples, count, seed=seed, heat=heat)

    judge = WordJudge()
    seeds = search("fbbbbb", patience=3, finalists=2)
    _, result = await events(solve(seeds, Late(), WordScorer(), judge, None))
    assert result.texts[0].text == WORD
    assert result.steps == 5 + 3
    assert judge.scored == ["fbbbbb", WORD]


async def test_fewer_texts_than_finalists_are_all_compared() -> None:
    solving = solve(
        search(WORD, "aaaaaa", steps=0, finalists=64), Mutator(), WordScorer(), WordJudge(), None
    )
    _, result = await events(solving)
    assert all(each.matching_score is not None for each in result.texts)
    assert result.spending.matched_pairs == 2


async def test_a_result_has_64_texts_at_most() -> None:
    for finalists in (0, 10, 100):
        solving = solve(search(finalists=finalists), Mutator(), WordScorer(), WordJudge(), None)
        _, result = await events(solving)
        assert len(result.texts) == 64
        compared = [each.matching_score is not None for each in result.texts]
        assert compared == [place < finalists for place in range(64)]


async def test_costs_and_times_add_up() -> None:
    steps, result = await events(solve(search("aaaaaa"), Mutator(), WordScorer(), None, None))
    for earlier, later in pairwise(steps):
        new = later.spending.evaluations - earlier.spending.evaluations
        assert new == len(later.candidates)
    rounds = result.spending.usage.prompt_tokens
    assert result.times.generation_ns == rounds * MILLISECOND
    assert result.times.generation_ns == sum(step.times.generation_ns for step in steps)
    assert result.times.inference_ns == sum(step.times.inference_ns for step in steps)
    assert result.spending == steps[-1].spending


async def test_equal_seeds_give_equal_searches_and_others_other_ones() -> None:
    scored = []
    for seed in (1, 1, 2):
        scorer = WordScorer()
        await events(solve(search("aaaaaa", seed=seed), Mutator(), scorer, None, None))
        scored.append(scorer.scored)
    assert scored[0] == scored[1] != scored[2]


@dataclass
class Spoiled(WordScorer):
    """Gives these scores from the second call on."""

    values: Sequence[float] = ()

    async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
        good = await super().score(texts, vectors)
        return good if self.log.count("score") == 1 else Scores(self.values, ScoringCost())


@pytest.mark.parametrize("values", [[float("nan")] * 8, [float("inf")] * 8, [0.5], []])
async def test_scores_that_are_none_are_a_defect(values: Sequence[float]) -> None:
    seen = []
    with pytest.raises(Internal, match="a scorer gave"):
        async for event in solve(search(WORD), Mutator(), Spoiled(values=values), None, None):
            seen.append(event)
    assert len(seen) == 1


@dataclass
class Broken(Mutator):
    """Its engine goes away after some calls."""

    calls: int = 3

    async def propose(
        self, examples: Sequence[Candidate], count: int, *, seed: int, heat: float
    ) -> Proposals:
        if len(self.shown) == self.calls:
            raise Unavailable("no answer")
        return await super().propose(examples, count, seed=seed, heat=heat)


async def test_a_failing_engine_fails_the_search_after_the_steps_before() -> None:
    seen = []
    with pytest.raises(Unavailable):
        async for event in solve(search("aaaaaa"), Broken(), WordScorer(), None, None):
            seen.append(event)
    assert len(seen) >= 2


async def test_a_failing_judge_fails_the_search() -> None:
    class Gone(WordJudge):
        async def score(self, texts: Sequence[str], vectors: Vectors | None) -> Scores:
            raise Unavailable("no answer")

    solving = solve(search(WORD, steps=0, finalists=1), Mutator(), WordScorer(), Gone(), None)
    with pytest.raises(Unavailable):
        await events(solving)


async def test_an_engines_own_timeout_is_not_the_deadline() -> None:
    class Late(WordScorer):
        async def embed(self, texts: Sequence[str]) -> Embedded:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await events(solve(search(WORD), Mutator(), Late(), None, None))
