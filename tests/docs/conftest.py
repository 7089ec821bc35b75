"""What the documentation's examples find around them: the shop, and the files that they name."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import TYPE_CHECKING

import pytest
from support.documentation import ROOT, page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def shop() -> Iterator[str]:
    """The URL of the shop API that the README starts."""
    spec = importlib.util.spec_from_file_location("docs_shop_api", ROOT / "examples/shop/api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    with module.running() as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that examples name."""
    (tmp_path / "users.csv").write_text("name,age\nada,36\ncarol,41\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "order.json").write_text(json.dumps({"type": "object"}))
    return tmp_path


@pytest.fixture
def cart(folder: Path, shop: str) -> Path:
    """The README's suite, on the shop's real address."""
    (block,) = (block for block in page("README.md").blocks if block.kind == "runs")
    path = folder / "cart.yaml"
    path.write_text(block.text.replace("http://127.0.0.1:8080", shop))
    return path
