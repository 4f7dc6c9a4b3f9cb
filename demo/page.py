"""The demo's page: queries with what they found, what was said about pictures, and what was found
to say about them."""

from collections.abc import Iterator, Sequence

from found import Found, section
from queries import Answer
from talk import Described, Discussed, Talk

from triptych.contact_sheet import Section, Tile, contact_sheet


def page(title: str, answers: Sequence[Answer], talk: Talk, found: Sequence[Found] = ()) -> str:
    """The page as HTML."""
    searched = [section(found)] if found else []
    return contact_sheet(title, [*map(_search, answers), *_language(talk), *searched])


def _search(found: Answer) -> Section:
    return Section(
        title=found.query.title,
        note=f"{found.query.kind}, {found.milliseconds:.1f} ms",
        pictures=tuple(found.query.pictures),
        tiles=tuple(
            Tile(
                label=hit.item.id,
                picture=hit.item.content if isinstance(hit.item.content, bytes) else None,
                score=hit.score if hit.itm_score is None else hit.itm_score,
                captions=tuple(
                    str(hit.item.metadata[key])
                    for key in ("caption", "caption_zh")
                    if key in hit.item.metadata
                ),
            )
            for hit in found.hits
        ),
    )


def _language(talk: Talk) -> Iterator[Section]:
    captions, answers, chats = (f"{each:.0f} ms in all" for each in talk.milliseconds)
    if talk.described:
        note = f"with the cosine of picture and caption; {captions}"
        yield Section("Captions", tuple(map(_described, talk.described)), note=note)
    if talk.answered:
        yield Section("Questions", tuple(map(_discussed, talk.answered)), note=answers)
    if talk.discussed:
        note = f"each answer knows those before; {chats}"
        yield Section("Chats", tuple(map(_discussed, talk.discussed)), note=note)


def _described(described: Described) -> Tile:
    best, *others = described.captions
    matches = () if best.itm_score is None else (f"match {best.itm_score:.3f}",)
    return Tile(
        label=best.text,
        picture=described.picture,
        score=best.clip_score,
        captions=(*(caption.text for caption in others), *matches),
    )


def _discussed(discussed: Discussed) -> Tile:
    return Tile(label="", picture=discussed.picture, turns=tuple(discussed.turns))
