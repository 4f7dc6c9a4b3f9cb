"""The blocking client."""

from collections.abc import Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Self

import grpc

from triptych import (
    language_requests,
    language_responses,
    mils_requests,
    mils_responses,
    requests,
    responses,
)
from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.chat import ChatStream, Conversation
from triptych.contents import MIB, Content, Picture
from triptych.errors import TriptychError
from triptych.language import Answer, CaptionOrder, Captions, Generation, Talk
from triptych.mils import (
    Aim,
    Limits,
    Proposal,
    Proposed,
    Scoring,
    Seeds,
    SolvePolicy,
    TargetAggregation,
)
from triptych.resources import Collections, Items, Models
from triptych.solving import SolveStream
from triptych.streams import receive, receive_within, stream
from triptych.transport import Transport
from triptych.types import (
    Embeddings,
    Hits,
    Item,
    Query,
    Ranking,
    Rerank,
    Search,
    StreamedEmbedding,
    Upserted,
)
from triptych.v1 import model_pb2


class Client:
    """A connection to a gateway; safe to share between threads, closed by `with` or `close()`.

    Every call has a deadline: `timeout` seconds, unless the call gives its own; for streams but
    `solve` it is the longest wait for the next answer. Calls that may safely run again are retried
    by gRPC, up to 5 attempts within the deadline, when the gateway is unavailable or its queue is
    full: a chat or a search only before its first piece has come, the streams of inputs not.
    Failures raise `TriptychError`; pictures and text are given as `Content` describes. Messages
    have at most 64 MiB.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float = DEFAULT_TIMEOUT_S,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """`target` is `HOST:PORT`; without `credentials` the connection is not encrypted."""
        self._transport = Transport(target, timeout, credentials)
        self.collections = Collections(self._transport)
        self.items = Items(self._transport)
        self.models = Models(self._transport)

    def wait_ready(self, timeout: float | None = None) -> None:
        """Return once the gateway answers; raises `DeadlineExceededError` if it does not."""
        method, request = self._transport.model.ListModels, model_pb2.ListModelsRequest(page_size=1)
        self._transport.call(method, request, timeout, wait_for_ready=True)

    def embed(
        self,
        contents: Content | Iterable[Content],
        *,
        model: str = "",
        timeout: float | None = None,
    ) -> Embeddings:
        """Embed one content or several, text and pictures mixed.

        An array `[N, H, W, 3]` is N pictures. More contents than one call takes (256) are sent in
        several calls, one after the other, each with its own `timeout`. A content that fails has an
        `error` in its result and harms no other.
        """
        return responses.embeddings(
            [
                self._transport.call(self._transport.embedding.Embed, request, timeout)
                for request in requests.embed(contents, model)
            ]
        )

    def stream_embed(
        self,
        contents: Iterable[tuple[str, Content]],
        *,
        model: str = "",
        max_bytes_in_flight: int = 64 * MIB,
        timeout: float | None = None,
    ) -> Iterator[StreamedEmbedding]:
        """Embed any number of `(id, content)` pairs; answers come as they are done, in any order.

        Nothing is sent before the first answer is asked for. `contents` is iterated in another
        thread, and what it raises is raised here after the answers to what came before. A stream
        that broke is not resumed.
        """
        return stream(
            self._transport.embedding.StreamEmbed,
            (requests.stream_embed(key, content, model) for key, content in contents),
            responses.streamed_embedding,
            max_bytes_in_flight=max_bytes_in_flight,
            timeout=self._transport.timeout if timeout is None else timeout,
        )

    def rank(
        self,
        query: Content,
        candidates: Iterable[Content],
        *,
        templates: Iterable[str] = (),
        limit: int | None = None,
        model: str = "",
        timeout: float | None = None,
    ) -> Ranking:
        """Score up to 256 candidates against `query`, best first.

        `templates`, each with one `{}`, are sentences that text candidates are put into. `limit` is
        how many of the best to return; None is all.
        """
        request = requests.rank(query, candidates, templates, limit or 0, model)
        response = self._transport.call(self._transport.embedding.Rank, request, timeout)
        return responses.ranking(response)

    def caption(
        self,
        images: Picture | Iterable[Picture],
        *,
        prompt: str = "",
        num_captions: int = 1,
        generation: Generation | None = None,
        clip: bool | str = False,
        itm: bool | str = False,
        order_by: CaptionOrder | None = None,
        model: str = "",
        timeout: float | None = None,
    ) -> Captions:
        """Describe one picture or several.

        Every caption begins with `prompt`. More than one for each picture, up to 16, need a
        temperature or as many beams. `clip` and `itm` score captions against their picture, by the
        gateway's default model for that or by the one that they name; `order_by` puts the best
        first, by the log-probability if it is None. More pictures than one call takes (64) are sent
        in several calls, one after the other, each with its own `timeout`. A picture that fails has
        an `error` in its result and harms no other.
        """
        batches = language_requests.caption(
            images,
            prompt=prompt,
            num_captions=num_captions,
            generation=generation,
            clip=clip,
            itm=itm,
            order_by=order_by,
            model=model,
        )
        return language_responses.captions(
            [
                self._transport.call(self._transport.language.Caption, request, timeout)
                for request in batches
            ]
        )

    def answer(
        self,
        image: Picture,
        question: str,
        *,
        choices: Iterable[str] = (),
        generation: Generation | None = None,
        model: str = "",
        timeout: float | None = None,
    ) -> Answer:
        """Answer a question about a picture, freely or by one of up to 64 `choices`.

        A `generation` says how free answers are written; it is refused with choices.
        """
        request = language_requests.answer(image, question, choices, generation, model)
        response = self._transport.call(self._transport.language.Answer, request, timeout)
        return language_responses.answer(response)

    def chat(
        self,
        messages: Talk,
        *,
        generation: Generation | None = None,
        model: str = "",
        timeout: float | None = None,
    ) -> ChatStream:
        """Continue a conversation: `chat([picture, "what is it?"])`, or a list of `ChatMessage`.

        The answer comes in pieces, as it is generated; the stream's `messages` are the conversation
        with the answer. A chat model talks without pictures, too. Beams are refused. See
        `conversation` for one that remembers.
        """
        asked = language_requests.conversation(messages)
        responses = receive(
            self._transport.language.Chat,
            partial(language_requests.chat, asked, generation, model),
            timeout=self._transport.timeout if timeout is None else timeout,
        )
        return ChatStream(asked, responses)

    def conversation(
        self,
        *pictures: Picture,
        generation: Generation | None = None,
        model: str = "",
        timeout: float | None = None,
    ) -> Conversation[ChatStream]:
        """Begin a chat, about pictures or in words alone, that sends what was said before with each
        question."""
        chat = partial(self.chat, generation=generation, model=model, timeout=timeout)
        return Conversation(chat, pictures)

    def solve(
        self,
        targets: Aim | Iterable[Aim],
        *,
        aggregation: TargetAggregation = TargetAggregation.MEAN,
        negatives: Aim | Iterable[Aim] = (),
        seeds: Seeds | None = None,
        proposal: Proposal | None = None,
        scoring: Scoring | None = None,
        limits: Limits | None = None,
        policy: SolvePolicy = SolvePolicy.TRIPTYCH,
        seed: int | None = None,
        timeout: float | None = None,
    ) -> SolveStream:
        """Search for the text that fits a target best, of one picture or up to 16 targets.

        `solve(picture, seeds=Seeds(pool="general")).run().text`, or iterate over the steps. A
        target may be a sum, `Target.of(picture) - "red" + "blue"`, or a vector `[D]` of the model's
        space; `negatives`, up to 16, are what the text is not to fit. With a `seed` the same search
        gives the same texts. `timeout` is the deadline of the whole search: when it is near, the
        best so far is the result, with `SolveStop.DEADLINE`.
        """
        build = mils_requests.solve(
            targets,
            aggregation=aggregation,
            negatives=negatives,
            seeds=seeds,
            proposal=proposal,
            scoring=scoring,
            limits=limits,
            policy=policy,
            seed=seed,
        )
        deadline = self._transport.timeout if timeout is None else timeout
        return SolveStream(receive_within(self._transport.mils.Solve, build, deadline=deadline))

    def propose(
        self,
        subjects: str | Iterable[str],
        *,
        count: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        guidance: str = "",
        seed: int | None = None,
        model: str = "",
        timeout: float | None = None,
    ) -> Proposed:
        """Write captions about subjects such as `dog`, of which seed pools are made.

        `count` of each subject, up to 64 (None is 8), fewer where replies were equal or not
        understood. `temperature` None is 1; the others are as in `Proposal`. More subjects than one
        call takes (64) are sent in several calls, one after the other, each with its own `timeout`.
        """
        batches = mils_requests.propose(
            subjects,
            count=count,
            model=model,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            guidance=guidance,
            seed=seed,
        )
        return mils_responses.proposed(
            [
                self._transport.call(self._transport.mils.Propose, request, timeout)
                for request in batches
            ]
        )

    def search(
        self,
        collection: str,
        query: Query,
        *,
        limit: int = 10,
        page_token: str = "",
        score_threshold: float | None = None,
        filter: str = "",
        include_content: bool = False,
        include_vector: bool = False,
        rerank: Rerank | None = None,
        timeout: float | None = None,
    ) -> Hits:
        """Find the items nearest to `query`: text, a picture, a vector, an item or a mix.

        With `rerank` the nearest are compared once more, by a model that looks at text and picture
        together, and come in its order.
        """
        spec = Search(
            collection=collection,
            query=query,
            limit=limit,
            page_token=page_token,
            score_threshold=score_threshold,
            filter=filter,
            include_content=include_content,
            include_vector=include_vector,
            rerank=rerank,
        )
        request = requests.search(spec)
        return responses.hits(self._transport.call(self._transport.search.Search, request, timeout))

    def batch_search(
        self, searches: Iterable[Search], *, timeout: float | None = None
    ) -> list[Hits | TriptychError]:
        """Run several searches; each gives its hits, or the error that it alone failed with."""
        return [
            answer
            for request in requests.batch_search(searches)
            for answer in responses.batch_hits(
                self._transport.call(self._transport.search.BatchSearch, request, timeout)
            )
        ]

    def upsert(
        self,
        collection: str,
        items: Iterable[Item],
        *,
        max_bytes_in_flight: int = 64 * MIB,
        timeout: float | None = None,
    ) -> Iterator[Upserted]:
        """Write items, one answer for each in their order, given as soon as the item is on disk.

        The answers drive the writing: nothing is sent before the first is asked for, and no more
        than `max_bytes_in_flight` is sent ahead of them; closing the iterator early cancels the
        rest. `items` is iterated in another thread, and what it raises is raised here after the
        answers to what came before. A stream that broke is not resumed: items without an answer may
        or may not be stored, and writing them again does no harm.
        """
        return stream(
            self._transport.search.UpsertItems,
            (requests.upsert(collection, item) for item in items),
            responses.upserted,
            max_bytes_in_flight=max_bytes_in_flight,
            timeout=self._transport.timeout if timeout is None else timeout,
        )

    def close(self) -> None:
        """Release the connection; calls that still run are cancelled."""
        self._transport.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
