"""What the wheel holds, and that it works where the checkout is not."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import orbit_context

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in the wheel, those of its metadata left out."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel's packages lie, as after pip."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files(folder: Path, prefix: str) -> set[str]:
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}"
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_it_holds_the_two_packages_and_the_sql_and_nothing_else(names: set[str]) -> None:
    expected = files(ROOT / "orbit_context", "orbit_context") | files(ROOT / "runner/orbit_runner", "orbit_runner")
    assert names == expected | files(ROOT / "sql", "orbit_runner/sql")
    assert {"orbit_context/py.typed", "orbit_runner/py.typed", "orbit_runner/report/templates/report.html.j2"} <= names
    assert any(name.startswith("orbit_runner/sql/migrations/") for name in names)


def test_what_it_says_of_itself(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"orbit_context-{orbit_context.__version__}.dist-info"
        told = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        commands = archive.read(f"{info}/entry_points.txt").decode()
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert (told["Name"], told["Version"]) == ("orbit-context", orbit_context.__version__)
    assert (told["License-Expression"], told["Requires-Python"]) == ("Apache-2.0", ">=3.11")
    assert {"runner", "local"} <= set(told.get_all("Provides-Extra") or ())
    assert told.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")
    assert commands.split() == ["[console_scripts]", "orbit", "=", "orbit_runner.cli:main"]
    for requirement in told.get_all("Requires-Dist") or ():
        assert " @ " not in requirement, "not from an index"


def test_modules_beside_a_suite_shadow_nothing_of_ours(installed: Path, names: set[str], tmp_path: Path) -> None:
    """`python -m orbit_runner` has the working directory first on sys.path, as pytest often has a test's."""
    ours = {part.removesuffix(".py") for name in names if name.endswith(".py") for part in Path(name).parts}
    beside = (ours | {"runner", "orbit", "sql", "conftest"}) - {"orbit_context", "orbit_runner", "__init__", "__main__"}
    beside.discard("org")  # the standard library's own copy module tries to import one (Jython's)
    for name in beside - sys.stdlib_module_names - set(packages_distributions()):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError(__file__)\n")
    suite = tmp_path / "suite.yaml"
    suite.write_text("{version: 1, suite: s, tests: {a: {request: 'http://127.0.0.1:9/', capture: {b: $.b}}}}")
    argv = [sys.executable, "-m", "orbit_runner", "validate", suite.name]
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    where = (
        "import orbit_context, orbit_runner.migrate as m; print(orbit_context.__file__, m.sql_directory(), sep='\\n')"
    )
    argv = [sys.executable, "-c", where]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert all(Path(line).is_relative_to(installed) for line in done.stdout.splitlines()), done.stdout
    assert done.stdout.splitlines()[1].endswith("orbit_runner/sql")
