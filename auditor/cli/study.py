"""`audit study REPORT` makes a quiz for people, `audit study score` says how they did."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from auditor.errors import UsageError

HANDOUT = "handout"


class MakesByDefault(TyperGroup):
    """A first argument that is no command of the group is a record to make a quiz of."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See the base class."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="study",
    cls=MakesByDefault,
    help="Run a user study: 'audit study REPORT' makes a quiz.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def make(
    record: Annotated[Path, typer.Argument(metavar="REPORT", help="report.json of a run.")],
    queries: Annotated[int, typer.Option("--queries", min=1, help="Number of questions.")] = 10,
    scenario: Annotated[
        str,
        typer.Option(
            "--scenario",
            help="Default: the first that protects pictures.",
        ),
    ] = "",
    out: Annotated[Path, typer.Option("--out", help="Folder for handout and key.")] = Path("study"),
) -> None:
    """Make a quiz: who of these is the person above? 'make' may be left out.

    Give people the folder 'handout' and keep 'key.csv' from them.
    """
    from auditor import plugins
    from auditor.artifacts.atomic import table, write
    from auditor.user_study import quiz

    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty; name another --out")
    made, key = quiz.make(record, scenario, queries)
    handout = out / HANDOUT
    for folder in (out, handout):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in plugins.installed("study_renderers"):
        plugins.render("study_renderers", name, made, handout / f"quiz.{name}")
    answers = handout / "answers.csv"
    write(answers, table(quiz.COLUMNS, quiz.answer_sheet(made)), mode=0o600)
    names = ("quiz", "question", "right", "candidates")
    write(out / quiz.KEY, table(names, quiz.key_table(made, key)), mode=0o600)
    typer.echo(f"wrote {handout} to hand out, and {out / quiz.KEY}, which respondents must not see")
    if made.real_people:
        typer.echo("the quiz shows real people: give it only to people who may see them")


@app.command()
def score(
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS…", help="Filled-in answers.")],
    key: Annotated[Path, typer.Option("--key", help="key.csv of the quiz.")],
) -> None:
    """Count the right answers and compare them with guessing."""
    from auditor.user_study import score as quiz_score

    mark, truth = quiz_score.load_key(key)
    found = quiz_score.score(quiz_score.read_answers(answers, mark, truth), truth)
    total = sum(count for _, count in found.questions.values())
    typer.echo(
        f"accuracy {found.accuracy:.1%} (95% interval {found.low:.1%} to {found.high:.1%}), "
        f"chance {found.chance:.1%}, p = {found.p:.3g} (one-sided)"
    )
    typer.echo(f"{total} answers by {found.respondents} respondents")
    for number, (right, count) in found.questions.items():
        typer.echo(f"question {number}: {right} of {count} right")
