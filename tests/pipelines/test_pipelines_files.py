"""Pipeline files: what is read, and what is wrong with them, by line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
from support.documentation import ROOT, page

from orbit_context.errors import DefinitionError
from orbit_context.suite.pipeline import load_pipeline
from orbit_context.suite.schema import pipeline_schema

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """\
version: 1
pipeline: release
name: Release
description: Before every release.
steps:
  build: {suite: build}
  smoke:
    suite: smoke
    needs: build
    timeout: 5m
    selection: {tags: [[smoke]]}
  clean: {suite: clean, needs: [build, smoke], when: finished, allow_failure: true, retries: 1}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "release.yaml"
    path.write_text(text)
    return path


def test_a_file_becomes_a_request(tmp_path: Path) -> None:
    pipeline = load_pipeline(written(tmp_path, WHOLE))
    assert (pipeline.pipeline, pipeline.name) == ("release", "Release")
    assert pipeline.to_steps() == [
        {"key": "build", "suite": "build"},
        {"key": "smoke", "suite": "smoke", "needs": ["build"], "timeout": 300.0, "selection": {"tags": [["smoke"]]}},
        {
            "key": "clean", "suite": "clean", "needs": ["build", "smoke"], "when": "finished", "allow_failure": True,
            "retries": 1,
        },
    ]  # fmt: skip


def test_the_pipeline_of_the_documentation_is_one(tmp_path: Path) -> None:
    (block,) = (block for block in page("docs/pipelines.md").blocks if block.kind == "pipeline")
    pipeline = load_pipeline(written(tmp_path, block.text))
    assert [*pipeline.steps][-1] == "alarm"


@pytest.mark.parametrize(
    ("before", "after", "line", "field", "said"),
    [
        ("needs: build\n", "needs: biuld\n", 9, "steps.smoke.needs", "there is no step 'biuld'"),
        ("[build, smoke]", "[build, smok]", 12, "steps.clean.needs[1]", "there is no step 'smok'"),
        ("    timeout: 5m", "    colour: red", 10, "steps.smoke.colour", "there is no key 'colour' here"),
        ("{suite: build}", "{suite: build, needs: clean}", 6, "steps.build.needs", "the steps need each other"),
        ("{suite: build}", "{suite: build, when: failed}", 6, "steps.build.when", "there is nothing that it needs"),
        ("when: finished", "when: always", 12, "steps.clean.when", "expected 'passed', 'failed' or 'finished'"),
        ("retries: 1", "retries: 11", 12, "steps.clean.retries", "less than or equal to 10"),
        ("pipeline: release", "pipeline: 'my release'", 2, "pipeline", "does not have the form"),
        ("timeout: 5m", "timeout: soon", 10, "steps.smoke.timeout", "is not understood"),
    ],
)
def test_what_is_wrong_names_line_and_field(
    tmp_path: Path, before: str, after: str, line: int, field: str, said: str
) -> None:
    assert before in WHOLE
    with pytest.raises(DefinitionError) as raised:
        load_pipeline(written(tmp_path, WHOLE.replace(before, after)))
    error = getattr(raised.value, "errors", [raised.value])[0]
    assert (error.line, error.field) == (line, field)
    assert said in error.message


def test_the_published_schema_is_that_of_the_models() -> None:
    published = json.loads((ROOT / "docs/pipeline.schema.json").read_text())
    assert published == pipeline_schema(), (
        "run: python -m orbit_context.suite.schema pipeline > docs/pipeline.schema.json"
    )
    jsonschema.Draft202012Validator.check_schema(published)
    import yaml

    validator = jsonschema.Draft202012Validator(published)
    assert list(validator.iter_errors(yaml.safe_load(WHOLE))) == []
    for before, after in (
        ("retries: 1", "retries: 11"),
        ("suite: build", "sweet: build"),
        ("needs: build", "needs: 7"),
    ):
        assert list(validator.iter_errors(yaml.safe_load(WHOLE.replace(before, after)))), after
