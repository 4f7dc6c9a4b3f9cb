"""Groups of commands of which one needs no name."""

from typing import Any

from typer.core import TyperGroup


class DefaultGroup(TyperGroup):
    """What does not begin with the name of a command is for the first one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [self._first, *args]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help of the first command, and then that of the group."""
        command = self.commands[self._first]
        shown = command.make_context(ctx.info_name, [], parent=ctx.parent, resilient_parsing=True)
        command.format_help(shown, formatter)
        super().format_help(ctx, formatter)

    @property
    def _first(self) -> str:
        return next(iter(self.commands))
