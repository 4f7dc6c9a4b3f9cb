"""`triptych eval`."""

import typer

from triptych_export.evaluation.coco.command import coco
from triptych_export.evaluation.mils.command import mils
from triptych_export.evaluation.miniworld.command import miniworld
from triptych_export.evaluation.vqa.command import vqa

app = typer.Typer(
    help="Measure the models of a running gateway.", no_args_is_help=True, add_completion=False
)
app.command()(coco)
app.command()(vqa)
app.command()(miniworld)
app.command()(mils)
