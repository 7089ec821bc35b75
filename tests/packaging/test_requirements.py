"""What is required: each extra brings what its modules import, and the lock file holds what pyproject asks for."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
# Runs `{code}` as if the modules given as arguments were not installed.
WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))
sys.argv[1:] = []
{code}
"""


def only_in_extras() -> set[str]:
    """The modules of what an extra asks for and the SDK does not."""
    names = {canonicalize_name(Requirement(line).name) for lines in EXTRAS.values() for line in lines}
    names -= {"orbit-context"} | {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    return {
        module
        for module, distributions in packages_distributions().items()
        if {canonicalize_name(name) for name in distributions} <= names
    }


def run_without(modules: set[str], code: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", WITHOUT.format(code=code), *sorted(modules)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_sdk_needs_no_extra() -> None:
    code = """
import importlib, pkgutil, orbit_context
for module in pkgutil.walk_packages(orbit_context.__path__, "orbit_context."):
    importlib.import_module(module.name)
assert all(getattr(orbit_context, name) for name in orbit_context.__all__)
"""
    assert {"click", "lxml", "cryptography", "pytest"} <= only_in_extras()
    done = run_without(only_in_extras(), code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [[], ["run", "suite.yaml"]])
def test_the_command_says_which_extra_is_missing(arguments: list[str]) -> None:
    done = run_without(only_in_extras(), f"sys.argv[1:] = {arguments}\nfrom orbit_runner.cli import main\nmain()")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert "pip install 'orbit-context[local]'" in done.stderr


def test_sealing_says_which_extra_is_missing() -> None:
    code = """
from orbit_context.errors import SecretKeyError
from orbit_context.seal import Sealer, generate_key
try:
    Sealer(generate_key()).seal("x", aad="y")
except SecretKeyError as error:
    print(error.hint)
"""
    assert "orbit-context[runner]" in run_without(only_in_extras(), code).stdout


def locked() -> dict[str, str]:
    return {
        canonicalize_name(found[1]): found[2] for found in re.finditer(r"^([\w.-]+)==([^\s;\\]+)", LOCK, re.MULTILINE)
    }


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_the_lock_file_holds_what_pyproject_asks_for(extra: str | None) -> None:
    """`make lock` after a change of pyproject."""
    pins = locked()
    for requirement in map(Requirement, PROJECT["dependencies"] if extra is None else EXTRAS[extra]):
        name = canonicalize_name(requirement.name)
        if name == "orbit-context":
            assert requirement.extras <= set(EXTRAS), "an extra that there is not"
        else:
            assert name in pins, f"{name} is not in requirements.lock: make lock"
            assert requirement.specifier.contains(pins[name], prereleases=True), (
                f"{requirement}: {pins[name]} is locked"
            )


def test_each_locked_package_has_its_hashes() -> None:
    for entry in re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
    assert len(locked()) > 50


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT
