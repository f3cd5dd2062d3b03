"""The command `tfgmm`: one subcommand per step.

Every subcommand imports what it needs inside its function: `tfgmm --help` loads no TensorFlow.

Exit codes: 0 done, 1 failed (one line on standard error says what, received and fix), 2 wrong usage.
"""

from typing import Annotated

import typer

from tfgmm.cli import compare, demo, export, fit, info, plot, report, sample, score, verify
from tfgmm.common.version import __version__

app = typer.Typer(
    name="tfgmm",
    help="Bayesian Gaussian mixtures for NumPy, TensorFlow and Keras 3.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: half the time of the boxed one, and errors stay one line
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Runs the command line and leaves with its exit code."""
    app(prog_name="tfgmm")


def _print_version(wanted: bool) -> None:
    """Prints the version and leaves when `--version` was given."""
    if wanted:
        typer.echo(f"tfgmm {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Bayesian Gaussian mixtures for NumPy, TensorFlow and Keras 3."""


app.command()(fit.fit)
app.command()(score.score)
app.command()(sample.sample)
app.command()(plot.plot)
app.command()(compare.compare)
app.command()(report.report)
app.command()(export.export)
app.command()(demo.demo)
app.command()(verify.verify)
app.command()(info.info)
