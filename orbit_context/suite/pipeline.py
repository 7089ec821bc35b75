"""A pipeline file: several suites as one plan, with order and conditions between them."""

from __future__ import annotations

from graphlib import CycleError as GraphCycle
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from orbit_context.names import did_you_mean, near
from orbit_context.suite.base import Json, Key, Part, Text
from orbit_context.suite.load import validated
from orbit_context.suite.problems import Problems
from orbit_context.suite.units import Duration
from orbit_context.suite.yaml import read_document

__all__ = ["Pipeline", "Selection", "Step", "load_pipeline"]

StepKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
"""Letters, digits and `_ . -`, up to 100; a letter or digit first."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Selection(Part):
    """Which tests of a suite: named ones, or those with a tag of every group; with all they need."""

    tests: list[Name] | None = None
    """Keys of tests."""
    tags: list[list[Name]] | None = None
    """Groups of tags: a test is chosen that has one of each group."""


class Step(Part):
    """A suite, and when it is run."""

    suite: Name
    """The key of a saved suite."""
    needs: list[StepKey] = []
    """Steps that it waits for; one may be written without the list."""
    when: Literal["passed", "failed", "finished"] = "passed"
    """When it is run, of what it needs: all passed, one failed, or however they ended."""
    environment: Name | None = None
    """A saved environment; the start's unless given."""
    variables: dict[Key, Json] = {}
    """By name; those of the start go before them."""
    selection: Selection | None = None
    """Which of the suite's tests; all unless given."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """How many of its tests run at once."""
    fail_fast: bool = False
    """Whether its run ends at the first failure."""
    timeout: Duration | None = None
    """For its run as a whole: `90`, `5m`."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """A step of priority is worth a minute of waiting."""
    allow_failure: bool = False
    """Whether its failure leaves the pipeline's verdict, and what needs it, alone."""
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    """How often its run is started anew where it did not pass."""

    @model_validator(mode="before")
    @classmethod
    def _one_need(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("needs"), str):
            return {**value, "needs": [value["needs"]]}
        return value


class Pipeline(Part):
    """Suites of one project as one plan."""

    version: Literal[1] = 1
    """Of the format."""
    pipeline: StepKey
    """Its key: what `orbit pipeline start` is given."""
    name: Name | None = None
    """As people read it."""
    description: Text | None = None
    """What it is for."""
    steps: Annotated[dict[StepKey, Step], Field(min_length=1, max_length=100)]
    """By key; the order in which they are written is that in which they are shown."""

    def to_steps(self) -> list[dict[str, Any]]:
        """As orbit.save_pipeline takes them: what was not written is left out."""
        return [
            {"key": key} | step.model_dump(mode="json", exclude_unset=True, exclude_none=True)
            for key, step in self.steps.items()
        ]


def load_pipeline(path: str | Path) -> Pipeline:
    """Read and check a pipeline file (`.yaml`, `.yml`, `.json`). Whether its suites are there is seen when it is saved.

    Raises:
        DefinitionError: it is wrong; `errors` lists all that was found, with line and field.
    """
    source = read_document(Path(path))
    pipeline = validated(Pipeline, source.data, source)
    problems = Problems(source)
    for key, step in pipeline.steps.items():
        for number, need in enumerate(step.needs):
            if need not in pipeline.steps:
                written = source.data["steps"][key]["needs"]
                place = ("needs",) if isinstance(written, str) else ("needs", number)
                hint = did_you_mean(near(need, list(pipeline.steps)))
                problems.add(("steps", key, *place), f"there is no step {need!r}", hint=hint)
        if step.when != "passed" and not step.needs:
            problems.add(("steps", key, "when"), f"when is {step.when}, and there is nothing that it needs")
    problems.raise_if_any()
    try:
        TopologicalSorter({key: step.needs for key, step in pipeline.steps.items()}).prepare()
    except GraphCycle as error:
        cycle = error.args[1][::-1]
        problems.add(
            ("steps", cycle[0], "needs"),
            f"the steps need each other: {' → '.join(cycle)}",
            hint="Take one of these needs out.",
        )
    problems.raise_if_any()
    return pipeline
