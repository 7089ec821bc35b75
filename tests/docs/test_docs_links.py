"""Links, anchors, and what must not stand in the documentation."""

from __future__ import annotations

import re

import pytest
from support.documentation import ROOT, Page, page, pages

PAGES = pages()
BY_PAGE = pytest.mark.parametrize("one", PAGES, ids=[one.name for one in PAGES])


@BY_PAGE
def test_links_lead_somewhere(one: Page) -> None:
    broken = []
    for line, link in one.links:
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            broken.append(f"{one.name}:{line}: {link} leads outside")
            continue
        path = (one.path.parent / target).resolve() if target else one.path
        if not path.exists():
            broken.append(f"{one.name}:{line}: there is no {link}")
        elif anchor and (path.suffix != ".md" or anchor not in page(str(path.relative_to(ROOT))).anchors):
            broken.append(f"{one.name}:{line}: {link} has no such heading")
    assert not broken


@BY_PAGE
def test_headings_are_unique(one: Page) -> None:
    """An anchor that two headings share leads to the first."""
    titles = [section.title for section in one.sections]
    assert len(titles) == len(set(titles))


def test_every_page_is_reached_from_the_readme() -> None:
    readme = PAGES[0]
    linked = {(readme.path.parent / link.partition("#")[0]).resolve() for _, link in readme.links}
    assert {one.path for one in PAGES[1:]} <= linked


def test_the_readme_is_short() -> None:
    assert len(PAGES[0].text.splitlines()) <= 160


@BY_PAGE
def test_nothing_is_said_about_one_machine(one: Page) -> None:
    """No folder of a developer's machine, and no host that exists: examples use names kept for examples."""
    assert not re.findall(r"/(?:work|home|Users|tmp)/\S*", one.text)
    hosts = set(re.findall(r"[a-z]+://(?:[^/@\s\"']*@)?([^/:\s\"'`…)\\]+)", one.text))
    assert {host for host in hosts if not host.endswith(".example")} <= {"127.0.0.1", "{{host}}", "host"}
