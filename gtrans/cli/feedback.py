"""``gtrans feedback``: images that people say a model judged wrongly, kept, listed, exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.options import Category, ProfileName, Store
from gtrans_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from gtrans_core.watch.feedback import FeedbackBook, Statement


def feedback(
    category: Category,
    table: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="TABLE",
            help="Keep the marked images of a table of gtrans predict --out: rows whose column "
            "truth says good, or the kind of defect.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", help="Write the images as test images, below DIR/test/."
        ),
    ] = None,
    place: Annotated[
        str,
        typer.Option(
            "--place", metavar="DIR|s3://...", help="Where feedback is kept; default: the store."
        ),
    ] = "",
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """List, collect or export what people say of images that a model judged.

    No image is kept before somebody marks it. Nothing is overwritten: the last answer on an image
    counts.
    """
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.watch.feedback import FeedbackBook, default_place

    if table is not None and to is not None:
        raise ConfigError("--from and --to exclude each other")
    profile = load_profile(profile_name, store=store)
    book = FeedbackBook(place or default_place(profile.store))
    if table is not None:
        _keep(book, category, table)
        return
    statements = list(book.latest(category).values())
    if to is None:
        _show(category, statements)
        return
    _export(book, statements, to)


def _keep(book: FeedbackBook, category: str, table: Path) -> None:
    from gtrans_core.batch.images import image_shown_as
    from gtrans_core.batch.marked import marked_rows
    from gtrans_core.tracking.person import who
    from gtrans_core.watch.feedback import Statement, checked_truth, now

    rows = marked_rows(table)
    for row in rows:
        if row.category != category:
            raise ConfigError(f"{table}: its rows are of {row.category}, not of {category}")
        try:
            checked_truth(row.truth)
        except ValueError as error:
            raise ConfigError(f"{table}: {row.path}: truth is {error}") from None
    kept = 0
    for row in rows:
        image = image_shown_as(row.path)
        statement = Statement(
            category=row.category,
            version=row.model_version,
            digest=row.model_digest,
            score=row.score,
            threshold=row.threshold,
            truth=row.truth,
            name=Path(row.path).name,
            image_sha256=row.image_sha256,
            who=who(),
            said_at=now(),
        )
        kept += book.add(statement, image.read())
    known = "; the others were known" if kept < len(rows) else ""
    typer.echo(f"{kept} of {len(rows)} marked images kept{known}")


def _export(book: FeedbackBook, statements: Sequence[Statement], to: Path) -> None:
    from gtrans_core.watch.exporting import export

    done = export(book, statements, to)
    moved = f", {done.moved} moved, since they are said to be something else now"
    typer.echo(
        f"{to}: images written below test/: {done.written}, there already: {done.there}"
        f"{moved if done.moved else ''}"
    )
    if done.disputed:
        raise DataError(
            "\n  ".join(
                [
                    f"{to}: images that people say something else of: {len(done.disputed)}; move "
                    "them where they belong, or mark them again",
                    *done.disputed,
                ]
            )
        )


def _show(category: str, statements: Sequence[Statement]) -> None:
    from rich.console import Console
    from rich.table import Table

    from gtrans.cli.shared.outside_text import cell

    if not statements:
        typer.echo(f"no feedback on {category} yet")
        return
    shown = Table(box=None)
    for heading in ("when (UTC)", "who", "image", "version", "score", "the model", "it is"):
        shown.add_column(heading, no_wrap=heading == "when (UTC)")
    for one in statements:
        shown.add_row(
            f"{one.said_at:%Y-%m-%d %H:%M}",
            cell(one.who),
            cell(one.name),
            str(one.version or "-"),
            f"{one.score:.4g} / {one.threshold:.4g}",
            "flagged" if one.flagged else "ok",
            cell(one.truth),
        )
    Console().print(shown)
    wrong = sum(one.corrects for one in statements)
    typer.echo(f"images marked: {len(statements)}, of which the model got {wrong} wrong")
