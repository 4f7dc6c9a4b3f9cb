"""`triptych search`: the nearest items, as a table, JSON or a page of pictures."""

import tempfile
import webbrowser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.cli.options import CollectionName, Filter, Json, Target, Timeout
from triptych.cli.output import print_json, print_table
from triptych.cli.pictures import open_picture, picture_of
from triptych.client import Client
from triptych.contact_sheet import Section, Tile, contact_sheet
from triptych.types import Hit, Hits, ItemRef, Rerank, RerankKind, Term

_TERM_OPTIONS = ("text", "image", "item", "weight")


class SearchCommand(TyperCommand):
    """Keeps the order in which the options of terms stand, so that a weight finds its term."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.obj = [option.name for option in order if option.name in _TERM_OPTIONS]
        return super().parse_args(ctx, args)


def search(
    ctx: typer.Context,
    collection: CollectionName,
    text: Annotated[list[str] | None, typer.Option(help="Search by this text.")] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Search by this picture file."),
    ] = None,
    item: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Search by this item.")
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(help="Weight of the term before it, negative to turn away. Default: 1."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Hits at most.")] = 10,
    filter: Filter = "",
    threshold: Annotated[float | None, typer.Option(help="Leave out hits that score less.")] = None,
    rerank: Annotated[
        RerankKind | None, typer.Option(help="Compare the nearest once more, with the one --text.")
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="With --rerank, how many of them. Default: 20."),
    ] = None,
    rerank_model: Annotated[
        str, typer.Option(help="With --rerank, a model of `triptych models` with the role itm.")
    ] = "",
    page_token: Annotated[str, typer.Option(help="Go on where the last page ended.")] = "",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page of the hits' pictures.")
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Show that page in the browser.")
    ] = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Find the items nearest to texts, pictures and items, mixed by weight.

    Terms may repeat: --text "a red bicycle" --image bike.jpg --weight 0.5 --text snow --weight -0.3
    """
    terms = _terms(ctx.obj, text or [], image or [], item or [], weight or [])
    with Client(target, timeout=timeout) as client:
        hits = client.search(
            collection,
            terms,
            limit=limit,
            filter=filter,
            score_threshold=threshold,
            page_token=page_token,
            rerank=_rerank(rerank, candidates, rerank_model),
        )
        page = None
        if html is not None or open_page:
            sheet = contact_sheet(
                f"Search in {collection}", [_section(client, collection, terms, hits)]
            )
            page = _write(sheet, html)
    if as_json:
        print_json(_document(hits, page))
    else:
        scores = ["score"] if rerank is None else ["itm", "score"]
        print_table(
            [*scores, "id", "metadata"],
            [(*_scores(hit), hit.item.id, hit.item.metadata) for hit in hits],
        )
        if hits.next_page_token:
            typer.echo(f"more: --page-token {hits.next_page_token}", err=True)
        if page is not None:
            typer.echo(f"page: {page}", err=True)
    if open_page and page is not None:
        webbrowser.open(page.as_uri())


def _scores(hit: Hit) -> list[float]:
    return [hit.score] if hit.itm_score is None else [hit.itm_score, hit.score]


def _terms(
    order: list[str], texts: list[str], images: list[Path], items: list[str], weights: list[float]
) -> list[Term]:
    queries: dict[str, Iterator[Any]] = {
        "text": iter(texts),
        "image": map(open_picture, images),
        "item": map(ItemRef, items),
    }
    remaining = iter(weights)
    terms: list[Term] = []
    weighted = True
    for name in order:
        if name != "weight":
            terms.append(Term(next(queries[name])))
            weighted = False
        elif weighted:
            raise typer.BadParameter("--weight belongs after a --text, --image or --item")
        else:
            terms[-1] = Term(terms[-1].query, next(remaining))
            weighted = True
    if not terms:
        raise typer.BadParameter("give a --text, an --image or an --item to search by")
    return terms


def _rerank(kind: RerankKind | None, candidates: int | None, model: str) -> Rerank | None:
    if kind is not None:
        chosen = Rerank(model=model, kind=kind)
        return chosen if candidates is None else replace(chosen, candidates=candidates)
    if candidates is not None or model:
        raise typer.BadParameter("--candidates and --rerank-model belong to --rerank")
    return None


def _section(client: Client, collection: str, terms: list[Term], hits: Hits) -> Section:
    tiles = tuple(
        Tile(
            label=hit.item.id,
            picture=picture_of(client, collection, hit.item),
            score=_scores(hit)[0],
            captions=tuple(f"{key}: {value}" for key, value in hit.item.metadata.items()),
        )
        for hit in hits
    )
    pictures = [term.query for term in terms if isinstance(term.query, bytes)]
    for term in terms:
        if isinstance(term.query, ItemRef):
            item = client.items.get(collection, term.query.id)
            pictures += filter(None, [picture_of(client, collection, item)])
    return Section(
        title=" + ".join(map(_title, terms)),
        tiles=tiles,
        pictures=tuple(pictures),
        note=f"{len(hits)} hits, {hits.timing.total * 1000:.0f} ms in the gateway",
    )


def _title(term: Term) -> str:
    match term.query:
        case str() as text:
            title = text
        case ItemRef(id=item_id):
            title = item_id
        case _:
            title = "picture"
    return title if term.weight == 1 else f"{term.weight:g} × {title}"  # noqa: RUF001


def _write(page: str, path: Path | None) -> Path:
    if path is None:
        folder = tempfile.mkdtemp(prefix="triptych-")  # stays: the browser reads it later
        path = Path(folder, "search.html")
    path.write_text(page, encoding="utf-8")
    return path.resolve()


def _document(hits: Hits, page: Path | None) -> dict[str, object]:
    return {
        "hits": [
            {
                "id": hit.item.id,
                "score": hit.score,
                "itm_score": hit.itm_score,
                "metadata": hit.item.metadata,
                "uri": hit.item.uri,
                "has_content": hit.item.has_content,
                "update_time": hit.item.update_time,
            }
            for hit in hits
        ],
        "next_page_token": hits.next_page_token,
        "timing": hits.timing,
        "page": None if page is None else str(page),
    }
