"""The report in a headless Chromium: silent, readable for everyone, sorted by keyboard; screenshots to look at.

Pages are drawn from results without a training. Where Chromium isn't installed the tests are skipped: on Debian
``apt-get install chromium``. Screenshots go to runs/browser.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

import jreg
from jreg import report, search
from jreg.report import Beside, Predictions
from jreg.results import FoldRows, Found, Results, Spec, Stretch
from jreg.training import Column, EarlyStopping, Status

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = os.environ.get("JREG_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
HOSTILE = "</script><img src=x onerror=\"document.title='run'\">"
SHOTS = Path("runs") / "browser"


def results_of(space: jreg.Space, name: str = "points", folds: int = 5) -> Results:
    """Results with curves, from an invented study in which the first hyperparameter matters."""
    rng = np.random.default_rng(0)
    columns = (
        Column("train", "loss", "loss"),
        Column("validation", "loss", "loss"),
        Column("train", "metric", "accuracy", True),
        Column("validation", "metric", "accuracy", True),
    )
    rows = [FoldRows(n, "validation", np.arange(160), np.arange(160, 200)) for n in range(folds)]
    asked = (name, 200, "classification", space, tuple(rows), (0, 1), 20, 16, 200, EarlyStopping(3), None)
    # With small networks, whose weights are drawn.
    keep = ("outputs", "network") if len(space.settings) < 20 else ("outputs",)
    results = Results(Spec(*asked, columns[3], columns, keep, {"jreg": "1", "jax": "2"}, {}, "0123abcd"))
    for end in range(1, 9):
        results.timing.add(Stretch(end, 0.5 * (end in (1, 5)), 0.4, 90 - end, 90, 4, 4, 3 * end, end, end, end % 2))
    for setting, fold, seed in np.ndindex(len(space.settings), folds, 2):
        epochs = int(rng.integers(8, 21))
        falls = np.exp(-np.arange(epochs) / 4) + 0.1 + rng.normal(scale=0.01, size=epochs)
        right = 0.9 - 0.3 * falls - 0.1 * abs(setting / len(space.settings) - 0.6) + rng.normal(scale=0.01, size=epochs)
        history = np.stack([falls * 0.8, falls, right + 0.03, right], axis=1).astype(np.float32)
        ended = Status.COMPLETED if epochs == 20 else Status.STOPPED
        kept = {"network": {"params": {"kernel": rng.normal(size=(64, 20))}}} if "network" in keep else {}
        results.add([Found(setting, fold, seed, "validation", ended, epochs, epochs - 2, history, kept)])
    return results


def pages() -> dict[str, str]:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(4) * 0.4, 300)
    truth = np.array([rng.choice(4, p=row) for row in probabilities])
    found = Predictions(
        truth, probabilities.argmax(1), probabilities, "classification", ("ash", "beech", HOSTILE, "fir")
    )
    two = jreg.grid(l2=[0.0, 1e-4, 1e-3, 1e-2], dropout=[0.0, 0.25, 0.5]).along("l2", "dropout")
    drawn = jreg.random_space(
        1000, 0, l2=search.log_uniform(1e-5, 1e-1), dropout=search.uniform(0, 0.9), width=[16, 32]
    )
    names = jreg.grid(**{HOSTILE: [0.0, 0.1, 0.2], "activation": ["relu", HOSTILE]})
    values = rng.normal(size=200)
    beside = Beside(predictions=Predictions(values, values + rng.normal(scale=0.3, size=200), None, "regression"))
    return {
        "two": report.page(
            results_of(two), Beside(predictions=found, image=(8, 8), command="jreg sweep --data points")
        ),
        "one": report.page(results_of(jreg.grid(l2=[0.0, 1e-4, 1e-3, 1e-2, 1e-1])), beside),
        "thousand": report.page(results_of(drawn, folds=2)),
        "hostile": report.page(results_of(names, HOSTILE), Beside(command=HOSTILE)),
        "names": report.page(results_of(jreg.grid(activation=["relu", "tanh", "gelu"], bias=[True, False]))),
    }


PAGES = ("two", "one", "thousand", "hostile", "names")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium's own sandbox doesn't run for root, as in a container; these pages are ours.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, text in pages().items():
        (folder / f"{name}.html").write_text(text)
    return folder


def opened(browser: Browser, path: Path, width: int = 1100, scheme: str = "light", script: bool = True) -> Page:
    """The page, in which an error or a request is a failure."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script, offline=True
    )
    page = context.new_page()
    page.said = []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on(
        "request", lambda asked: page.said.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None
    )
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (1100, "dark"), (360, "light")])
def test_a_page_is_silent_fits_and_has_no_violations(browser, written, name, width, scheme):
    page = opened(browser, written / f"{name}.html", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}-{scheme}-{width}.png", full_page=True)
    if name == "thousand" and (width, scheme) != (1100, "light"):
        return  # half a minute each, and its elements are those of the others
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    assert page.said == []
    assert page.title().startswith(HOSTILE if name == "hostile" else "points")
    page.context.close()


def column(page: Page, number: int) -> list[str]:
    return page.evaluate(
        "(n) => [...document.querySelectorAll('#settings-table tbody tr')].map((row) => row.cells[n].textContent)",
        number,
    )


def test_the_keyboard_sorts_and_picks(browser, written):
    page = opened(browser, written / "two.html")
    before = column(page, 0)
    page.locator("#settings-table th button", has_text="l2").first.focus()
    page.keyboard.press("Enter")
    assert column(page, 1) == sorted(column(page, 1), key=float)
    assert page.locator("#settings-table th[aria-sort=ascending]").inner_text().startswith("l2")
    page.keyboard.press("Space")
    assert column(page, 1) == sorted(column(page, 1), key=float, reverse=True)
    assert page.locator("#said").inner_text() == "sorted by l2, descending"
    for _ in range(len(page.locator("#settings-table thead button").all()) - 2):
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    picked = column(page, 0)[0]
    assert page.locator("#said").inner_text() == f"setting {picked} is shown in all charts"
    hot = page.evaluate("[...document.querySelectorAll('.hot')].map((part) => [part.tagName, part.dataset.s])")
    assert {tag for tag, _ in hot} == {"TR", "use", "path"}
    assert {setting for _, setting in hot} == {picked}
    page.keyboard.press("Enter")
    assert page.locator(".hot").count() == 0
    page.locator("#settings-table th button", has_text="mean").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert column(page, 3) == sorted(column(page, 3), key=float, reverse=True)
    assert sorted(column(page, 0)) == sorted(before)
    page.context.close()


def test_a_point_is_picked_in_all_charts(browser, written):
    page = opened(browser, written / "one.html")
    point = page.locator("#strength svg use[data-s]").first
    point.click(force=True)
    assert point.get_attribute("class").split()[-1] == "hot"
    ends = page.evaluate("(p) => [getComputedStyle(p).fill, getComputedStyle(p).stroke]", point.element_handle())
    assert ends == ["rgb(179, 0, 94)"] * 2
    page.screenshot(path=SHOTS / "one-picked.png", full_page=True)
    row = page.locator(f"tr[data-s='{point.get_attribute('data-s')}']")
    assert row.locator("button").get_attribute("aria-pressed") == "true"
    page.context.close()


def test_without_a_script_everything_is_there(browser, written):
    page = opened(browser, written / "two.html", script=False)
    assert page.locator("svg").count() > 5
    assert page.locator("#settings-table tbody tr").count() == 12
    assert page.locator(".js-only").is_hidden()
    page.locator("#strength details summary").first.click()
    assert page.locator("#strength details table").first.is_visible()
    assert page.said == []
    page.context.close()


def test_on_paper_the_tables_are_open_and_light(browser, written):
    page = opened(browser, written / "two.html", scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.pdf(path=SHOTS / "two.pdf")
    page.screenshot(path=SHOTS / "two-print.png", full_page=True)
    page.context.close()
