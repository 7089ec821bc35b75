"""The SDK's public names: all there, sorted, and free to import."""

from __future__ import annotations

import subprocess
import sys

import orbit_context


def test_every_public_name_is_there() -> None:
    assert orbit_context.__all__ == sorted(orbit_context.__all__)
    for name in orbit_context.__all__:
        assert getattr(orbit_context, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(orbit_context, "nonsense")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, orbit_context; print(sorted({'pydantic', 'asyncpg', 'yaml', 'orjson'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
