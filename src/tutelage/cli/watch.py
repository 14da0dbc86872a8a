"""`tutelage watch`."""

from __future__ import annotations

from typing import Annotated

import typer

from tutelage.cli.common import RunArgument, show
from tutelage.cli.report import NoOpen, open_page


def watch(
    run: RunArgument,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="Where to listen; 0: where it is free.")
    ] = 8765,
    no_open: NoOpen = False,
) -> None:
    """Serve a run's report on this machine while the run goes on; the page updates itself. Ctrl-C ends it."""
    from tutelage.report.watch import Server

    server = Server(run, port)
    show(f"Watching {run} at {server.address} until Ctrl-C.")
    if not no_open:
        open_page(server.address)
    server.serve()
