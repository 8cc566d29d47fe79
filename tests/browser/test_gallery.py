"""Every page in every state, on a phone and a laptop: reached, no wider than the screen, kept to be looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.desk import LAPTOP
from tests.browser.gallery import LOOKS, SCENES, Look, Scene, Stage, in_a_show, photograph, sheet

KEPT = Path(__file__).parents[2] / "test-results" / "gallery"
STATES = {
    "watching": "watch shop product",
    "waiting": "scheduled unknown reconnecting ended lost",
    "silenced": "muted banned",
    "buying": "confirm ordered-or-price-changed unpaid expired paid payment-failed",
    "selling_out": "sold-out-card sold-out-list sold-out",
    "around": "home missing sign-in",
    "keeping": "admin-rooms admin-users admin-words admin-jobs admin-audit admin-node",
}
STUDIO = {
    True: "studio " + " ".join(f"studio-tab-{n}" for n in range(8)) + " studio-help",
    False: "studio studio-column-0 studio-column-2",
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    shutil.rmtree(KEPT, ignore_errors=True)
    with in_a_show(tmp_path_factory.mktemp("gallery"), is_light=True) as opened:
        yield opened
    for folder in list(KEPT.iterdir()):
        sheet(folder)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("look", LOOKS[:2], ids=lambda look: look.name)
def test_states_are_reached_and_fit_the_screen(stage: Stage, browser: Browser, look: Look, scene: Scene) -> None:
    wider = photograph(browser, stage, look, scene, KEPT / look.name)
    assert list(wider) == (STATES.get(scene.__name__) or STUDIO[look.size == LAPTOP]).split()
    assert {name: px for name, px in wider.items() if px} == {}
