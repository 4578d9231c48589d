"""The report: a page that is well-formed, needs nothing from outside, and says what the results say."""

import base64
import contextlib
import dataclasses
import hashlib
import html
import re
import sqlite3
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import optax
import pytest
from scored import results_of

import jreg
from jreg import losses, nn, penalties, report, search
from jreg.cli.commands import main
from jreg.report import Beside, Predictions
from jreg.results import Results, Stretch, Timing, selection
from jreg.study.reporting import beside
from jreg.training import Column, Status

pytestmark = pytest.mark.adam

VOID = {"meta", "img", "br", "hr", "input", "link"}
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\x00\x1b$_{"
STYLE = resources.files("jreg.report.html").joinpath("style.css").read_text("utf-8")


class Page(HTMLParser):
    """The elements of a page, each with its attributes, text and place; raises where a tag isn't closed."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[dict] = []
        self._open: list[dict] = []
        self.feed(text)
        self.close()
        assert not self._open, [one["tag"] for one in self._open]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        parents = [one["tag"] for one in self._open]
        element = {"tag": tag, "text": "", "parents": parents, "inside": [], **dict(attrs)}
        self.elements.append(element)
        for one in self._open:
            one["inside"].append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1]["tag"] == tag, (tag, self._open[-1])
        self._open.pop()

    def handle_data(self, data):
        for one in self._open:
            one["text"] += data

    def all(self, tag: str, **attributes) -> list[dict]:
        return [e for e in self.elements if e["tag"] == tag and all(e.get(k) == v for k, v in attributes.items())]


def examined(text: str) -> Page:
    """The page, after what holds for every one of them has been looked at."""
    page = Page(text)
    style, script = (text.split(f"<{tag}>")[1].split(f"</{tag}>")[0] for tag in ("style", "script"))
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    for kind, content in (("style", style), ("script", script)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert text.count("<script") == text.count("<style") == 1
    # Nothing from outside, and nothing that the policy would have to let in.
    assert not re.search(r"https?:|//[a-z]|url\(['\"]?[^#]|@import", re.sub(r"base64,[^\"]*", "", text))
    for element in page.elements:
        assert not [name for name in element if name.startswith("on") or name == "style"]
        assert element.get("src", "data:image/png").startswith("data:image/png")
        assert element.get("href", "#").startswith("#")
    ids = [element["id"] for element in page.elements if "id" in element]
    assert len(set(ids)) == len(ids)
    wanted = {e["href"][1:] for e in page.elements if "href" in e}
    wanted |= {e["aria-labelledby"] for e in page.elements if "aria-labelledby" in e}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", text))
    assert wanted <= set(ids)
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        root = ElementTree.fromstring(drawing)
        assert root.attrib["role"] == "img"
        assert root.attrib["aria-label"]
        assert not re.search(r"nan|inf(?!o)", " ".join(v for n in root.iter() for k, v in n.attrib.items() if k == "d"))
    # A caption and the numbers behind every chart.
    charts = [f for f in page.all("figure") if "figure" not in f["parents"]]
    for figure in charts:
        tags = [element["tag"] for element in figure["inside"]]
        assert "figcaption" in tags
        assert "td" in tags
        if "svg" in tags or "img" in tags:
            assert "details" in tags
    assert len(page.all("svg")) == sum(e["tag"] == "svg" for figure in charts for e in figure["inside"])
    assert len(page.all("h1")) == 1
    assert all(len(part["text"].split()) > 5 for part in page.all("section"))
    assert all(element.get("lang") == "en" for element in page.all("html"))
    return page


def scores_of(*shape, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.6, 0.95, shape)


def headings(page: Page) -> list[str]:
    return [element["id"] for element in page.all("section")]


SPACES = {
    "one axis": jreg.grid(l2=[0.0, 1e-4, 1e-3, 1e-2]),
    "two axes": jreg.grid(l2=[0.0, 1e-4, 1e-3], dropout=[0.0, 0.3, 0.6]),
    "unordered": jreg.grid(activation=["relu", "tanh", "gelu"], bias=[True, False]),
    "one setting": jreg.grid(l2=[0.1]),
    "an infinity": jreg.grid(max_norm=[1.0, float("inf")], l2=[0.1, 0.2, 0.3]).along("l2", "-max_norm"),
    "random": jreg.random_space(12, 0, l2=search.log_uniform(1e-4, 1e-1), dropout=search.uniform(0.0, 0.9), w=[8, 16]),
}


SLOW = {"an infinity", "many classes", "several values"}


def quick(kinds):
    """The kinds, those that are variants of others marked slow."""
    return [pytest.param(kind, marks=[pytest.mark.slow] if kind in SLOW else []) for kind in kinds]


@pytest.mark.parametrize("kind", quick(SPACES))
def test_every_kind_of_space_has_a_page_with_its_numbers(kind):
    space = SPACES[kind]
    results = results_of(space, scores_of(len(space.settings), 4, 2))
    page = examined(report.page(results))
    assert ("strength" in headings(page)) == ("folds" in headings(page)) == (len(space.settings) > 1)
    rows = page.all("tr", **{"data-s": str(results.best.number)})
    cells = [element["text"] for element in rows[0]["inside"] if element["tag"] == "td"]
    assert f"{results.best.mean:.4f}" in cells
    assert "best" in cells[-1]
    assert len(page.all("table", id="settings-table")[0]["inside"]) > len(space.settings)
    verdict = page.all("section", id="verdict")[0]["text"]
    assert f"{results.best.mean:.4f}" in verdict
    mean = results.best.scores.mean(axis=1)
    width = 3.182446 * mean.std(ddof=1) / 2  # Student's t with 3 degrees of freedom
    assert f"{mean.mean() - width:.4f} to {mean.mean() + width:.4f}" in verdict


def test_parts_are_in_order_and_points_say_their_numbers():
    results = results_of(SPACES["two axes"], scores_of(9, 3, 1, seed=1))
    page = examined(report.page(results))
    parts = ["verdict", "strength", "folds", "curves", "settings", "outside", "parallel", "checks", "ran"]
    assert headings(page) == [part for part in parts if part != "checks" or jreg.results.check(results)]
    titles = [element["text"] for element in page.all("title")]
    for result in results.settings:
        named = f"setting {result.number}: l2={result.hyperparameters['l2']:.4g}"
        assert any(t.startswith(named) and f"{result.mean:.4f}" in t for t in titles)
    # A point per setting in the small multiples, and a line in parallel coordinates, which are highlighted together.
    for number in range(9):
        marked = [e["tag"] for e in page.elements if e.get("data-s") == str(number)]
        assert {"use", "path", "tr"} <= set(marked)
    assert "none" not in {e.get("aria-label", "none") for e in page.all("svg")}


def test_the_edge_is_said_beside_its_chart():
    scores = np.linspace(0.6, 0.9, 4)[:, None, None] + scores_of(1, 5, 1) / 100
    text = report.page(results_of(SPACES["one axis"], scores))
    strength = examined(text).all("section", id="strength")[0]["text"]
    assert "J101 the best setting has the largest l2" in strength
    assert "It is also the most regularized" in text


def test_diverged_unfinished_and_dropped_trainings_are_said():
    space, scores = SPACES["one axis"], scores_of(4, 3, 1)
    status = np.full(scores.shape, Status.COMPLETED, object)
    status[3, 1] = Status.DIVERGED
    status[2, 2] = Status.WAITING
    status[1] = Status.PRUNED
    page = examined(report.page(results_of(space, scores, status=status)))
    text = page.all("section", id="verdict")[0]["text"]
    assert "1 of 12 trainings are missing" in text
    assert "3 of 12 trainings were given up early" in text
    assert "diverged" in page.all("section", id="settings")[0]["text"]
    for ended, words in ((Status.DIVERGED, "diverged"), (Status.WAITING, "no verdict yet")):
        status[:] = ended
        page = examined(report.page(results_of(space, scores, status=status)))
        assert words in page.all("section", id="verdict")[0]["text"]
        assert headings(page)[:2] == ["verdict", "settings"]
    nothing = Results(results_of(space, scores).spec)
    assert "no verdict yet" in examined(report.page(nothing)).all("section", id="verdict")[0]["text"]


def test_one_fold_and_lower_is_better():
    results = results_of(SPACES["one axis"], scores_of(4, 1, 3), maximize=False)
    page = examined(report.page(results))
    assert "One fold tells no setting from another" in page.all("section", id="verdict")[0]["text"]
    assert "95% interval" not in page.all("section", id="verdict")[0]["text"]
    assert f"{results.scores.mean(axis=(1, 2)).min():.4f}" in page.all("section", id="verdict")[0]["text"]
    assert "of 3 seeds" in page.all("section", id="folds")[0]["text"]


def test_names_are_text_whatever_is_in_them():
    space = jreg.grid(**{HOSTILE: [0.0, 0.1, 0.2], "kind": [HOSTILE, "<b>"]})
    results = results_of(space, scores_of(6, 3, 1))
    score = Column("validation", "metric", HOSTILE, True)
    asked = dataclasses.replace(results.spec, data=HOSTILE, score=score, columns=(score,), versions={HOSTILE: HOSTILE})
    named = Results(asked)
    named.add(list(results))
    found = Predictions(
        np.array([0, 1, 1]), np.array([0, 1, 0]), np.eye(2)[[0, 1, 0]], "classification", (HOSTILE, "b")
    )
    text = report.page(named, Beside(predictions=found, command=HOSTILE))
    page = examined(text)
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert "onerror" not in {name for element in page.elements for name in element}
    assert "\x00" not in text
    assert "\x1b" not in text
    assert page.all("h1")[0]["text"] == html.unescape(html.escape(HOSTILE)).replace("\x00", "\\x00").replace(
        "\x1b", "\\x1b"
    )


@pytest.mark.parametrize(
    "task", quick(["classification", "many classes", "multilabel", "regression", "several values"])
)
def test_out_of_fold_predictions_are_counted(task):
    rng = np.random.default_rng(0)
    results = results_of(SPACES["one setting"], scores_of(1, 3, 1))
    if task in ("classification", "many classes"):
        count = 3 if task == "classification" else 30
        probabilities = rng.dirichlet(np.ones(count), 200)
        found = Predictions(rng.integers(count, size=200), probabilities.argmax(1), probabilities, "classification")
        right = int((found.targets == found.predictions).sum())
        wanted = f"{right} of 200 rows are predicted rightly"
    elif task == "multilabel":
        probabilities = rng.uniform(size=(50, 4))
        flags = (probabilities > 0.5).astype(int)
        found = Predictions(rng.integers(2, size=(50, 4)), flags, probabilities, "multilabel", ("a", "b", "c", "d"))
        wanted = f"{int((found.targets == flags).all(1).sum())} of 50 rows have all labels"
    else:
        shape = (90,) if task == "regression" else (90, 2)
        truth = rng.normal(size=shape)
        found = Predictions(truth, truth + 0.5, None, "regression")
        wanted = "root mean squared error 0.5000"
    page = examined(report.page(results, Beside(predictions=found)))
    text = page.all("section", id="outside")[0]["text"]
    assert wanted in text
    if found.probabilities is not None and task == "classification":
        sure = found.probabilities.max(1)
        bins = np.minimum((sure * 10).astype(int), 9)
        error = sum(
            abs(sure[bins == b].mean() - (found.targets == found.predictions)[bins == b].mean()) * (bins == b).mean()
            for b in np.unique(bins)
        )
        assert f"off by {error:.4f}" in text
        cells = [int(e["text"]) for e in page.all("table", **{"class": "confusion"})[0]["inside"] if e["tag"] == "td"]
        counts = np.zeros((3, 3), int)
        np.add.at(counts, (found.targets, found.predictions), 1)
        assert cells == counts.ravel().tolist()


def test_a_thousand_settings_fit_into_a_page():
    swept = {name: search.log_uniform(1e-5, 1.0) for name in ("l1", "l2", "rate", "decay", "noise")}
    space = jreg.random_space(1000, 0, **swept, dropout=search.uniform(0.0, 0.9), width=[16, 32, 64])
    text = report.page(results_of(space, scores_of(1000, 3, 1), epochs=2))
    assert len(text.encode()) < 1_500_000
    assert all(f'<tr data-s="{number}">' in text for number in range(1000))


def test_more_settings_than_a_page_shows_are_said(monkeypatch):
    monkeypatch.setattr("jreg.report.html.view.MOST", 20)
    results = results_of(jreg.grid(l2=np.linspace(0, 1, 60)), scores_of(60, 2, 1))
    page = examined(report.page(results))
    assert "more are in settings.csv" in page.all("section", id="settings")[0]["text"]
    worst = selection.order(results)[-1]
    assert page.all("tr", **{"data-s": str(worst)})


def stretch(end: float, **numbers) -> Stretch:
    return Stretch(**dict.fromkeys(Stretch._fields, 0) | {"end": end, "slots": 4, **numbers})


def test_slots_over_time_are_counted():
    results = results_of(SPACES["one axis"], scores_of(4, 3, 1), stopping=jreg.EarlyStopping(2), epochs=20)
    results.timing.useful = 180
    results.timing.add(stretch(5.0, compile_seconds=3.0, device_seconds=1.5, useful=60, executed=60, running=4))
    assert "slots" not in headings(examined(report.page(results)))
    more = {"useful": 120, "executed": 140, "running": 1, "completed": 5, "stopped": 6, "pruned": 1}
    results.timing.add(stretch(10.0, device_seconds=4.5, **more))
    page = examined(report.page(results))
    assert headings(page)[-2:] == ["slots", "ran"]
    text = page.all("section", id="slots")[0]["text"]
    assert "busy for 89.3% of the time that programs ran, which was 60% of 10 s; compiling took 30%" in text
    assert "5 completed, 6 stopped early, 1 given up, which left out 25% of the epochs" in text
    assert "until 7 s: 86% of 4 slots, 1 training at its end" in text


def test_stretches_of_a_long_study_are_joined():
    timing = Timing()
    for end in range(1000):
        timing.add(stretch(float(end), useful=2, executed=3, completed=1))
    assert 64 <= len(timing.stretches) <= 128
    assert sum(one.completed for one in timing.stretches) == sum(one.useful for one in timing.stretches) / 2 == 1000
    assert timing.stretches[-1].end == 999


# with trainings


def recipe(hp):
    return jreg.Recipe(
        nn.MLP((6, 3)),
        losses.softmax_cross_entropy,
        optax.sgd(0.1),
        penalty=hp["l2"] * jreg.on_params(penalties.l2),
    )


@pytest.fixture(scope="module")
def data() -> jreg.Dataset:
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.normal(size=(90, 4)) + 2.0 * np.eye(3, 4)[y]
    return jreg.Dataset(x[:72], y[:72], x[72:], y[72:], name="blobs", labels=("a", "b", "<c>"))


@pytest.fixture(scope="module")
def study(data) -> jreg.Study:
    kept = [jreg.keep.outputs, jreg.keep.network, jreg.keep.train_scores]
    space = jreg.grid(l2=[0.0, 1e-2, 1e-1])
    return jreg.cross_validate(recipe, data, space, cv=3, epochs=4, keep=kept, progress=False)


@pytest.fixture(scope="module")
def final(study) -> jreg.Network:
    return jreg.refit(study)


def test_a_study_writes_all_that_was_kept(study, tmp_path):
    path = study.report(tmp_path)
    assert path == tmp_path / "report.html"
    page = examined(path.read_text())
    wanted = ["verdict", "strength", "folds", "curves", "gap", "settings", "outside", "weights"]
    assert headings(page)[: len(wanted)] == wanted
    found = study.out_of_fold()
    right = int((found.predictions == found.targets).sum())
    assert f"{right} of 72 rows are predicted rightly" in page.all("section", id="outside")[0]["text"]
    norms = [
        np.mean([np.sqrt(sum((np.asarray(w) ** 2).sum() for w in _kernels(n.params))) for n in study.networks(s)])
        for s in study.settings
    ]
    weights = page.all("section", id="weights")[0]["text"]
    assert all(f"{norm:.4f}" in weights for norm in norms)
    train = study.train_scores()["accuracy"].mean()
    assert f"{train:.4f}" in page.all("section", id="gap")[0]["text"]


def _kernels(params):
    return [leaf["kernel"] for leaf in params.values()]


def test_what_is_no_study_is_refused(study, tmp_path):
    with pytest.raises(TypeError, match="final is 'final', but must be the network"):
        study.report(tmp_path, final="final")
    with pytest.raises(TypeError, match="a report is of jreg"):
        report.page(study)


def test_weights_of_images_are_images(study, final):
    text = report.page(study.results, Beside(final=final, image=(2, 2)))
    page = examined(text)
    assert len(page.all("img")) >= 3
    assert f"{final.test['accuracy']:.4f} on the test set" in text
    for image in page.all("img"):
        assert base64.b64decode(image["src"].partition(",")[2]).startswith(b"\x89PNG")


def test_flat_examples_are_images_where_that_is_known_or_said(study, final, tmp_path, capsys):
    page = examined(study.report(tmp_path, final, shape=(2, 2)).read_text())
    assert len(page.all("img")) >= 3
    for shape in ((2, 3), (4,), (-2, -2), (2.0, 2.0)):
        with pytest.raises(
            ValueError, match=r"shape is .*, but must be \(height, width\), or with channels, 4 numbers"
        ):
            study.report(tmp_path, shape=shape)
    folder = study.save(tmp_path / "run")
    main(["report", str(folder), "--shape", "2", "2"])
    assert len(examined((folder / "report.html").read_text()).all("img")) >= 2
    capsys.readouterr()
    rows = np.zeros((4, 64), np.float32)
    named = Results(dataclasses.replace(study.spec, data="digits"))
    assert beside(named, jreg.Dataset(rows, np.arange(4) % 2), None).image == (8, 8)
    assert beside(named, jreg.Dataset(rows[:, :5], np.arange(4) % 2), None).image == ()
    assert beside(study.results, jreg.Dataset(rows, np.arange(4) % 2), None).image == ()


def test_each_penalty_alone_has_its_weights_beside_those_of_the_others():
    space = jreg.grid(l1=[0.0, 0.1, 0.2], l2=[0.0, 1.0])
    # Settings: 0 neither, 2 and 4 L1 alone, 1 L2 alone, 3 and 5 both.
    scores = np.array([0.5, 0.6, 0.7, 0.9, 0.8, 0.4])[:, None, None].repeat(2, axis=1)
    found = results_of(space, scores)
    results = Results(dataclasses.replace(found.spec, keep=("network",)))
    tree = {"network": {"params": {"dense": {"kernel": np.arange(12.0).reshape(4, 3)}}}}
    results.add([one._replace(kept=tree) for one in found])
    page = examined(report.page(results, Beside(image=(2, 2))))
    said = [e["text"] for e in page.all("figcaption") if "figure" in e["parents"][:-1]]
    assert "best with l1 alone: l1=0.2 l2=0" in said
    assert "best with l2 alone: l1=0 l2=1" in said
    along = jreg.grid(l1=[0.0, 0.1, 0.2], l2=[0.0, 1.0]).along("l2", "l1")
    results = Results(dataclasses.replace(results.spec, space=along))
    results.add([one._replace(kept=tree) for one in found])
    assert ">least regularized: l1=0 l2=0<" in report.page(results, Beside(image=(2, 2)))


def test_a_nested_study_has_its_two_estimates(data, tmp_path):
    nested = jreg.nested_cross_validate(
        recipe, data, jreg.grid(l2=[0.0, 1e-1]), outer=3, inner=2, epochs=2, progress=False, keep=[jreg.keep.outputs]
    )
    page = examined(nested.report(tmp_path / "deep" / "n.html").read_text())
    # How many calls there were is the clock's.
    assert [part for part in headings(page) if part != "slots"] == ["verdict", "choices", "outside", "ran"]
    text = page.all("section", id="verdict")[0]["text"]
    assert f"{nested.estimate.mean:.4f}" in text
    assert f"{nested.naive.mean:.4f}" in text
    assert "outer fold's choice" in page.all("section", id="outside")[0]["text"]
    assert f"naive one: {nested.naive.mean:#.4g}" in nested._repr_html_()
    assert nested._repr_html_().count("<tr>") == 4


def test_the_command_writes_the_page_of_a_folder(study, final, tmp_path, capsys):
    folder = study.save(tmp_path / "run")
    final.save(folder / "final")
    main(["report", str(folder), "--out", str(tmp_path / "new" / "other.html")])
    assert capsys.readouterr().out.strip() == f"the report is in {tmp_path / 'new' / 'other.html'}"
    page = examined((tmp_path / "new" / "other.html").read_text())
    assert "weren't at hand" in page.all("section", id="outside")[0]["text"]
    for arguments, words in (
        (["report", str(tmp_path / "none")], "there is no folder"),
        (["report", str(tmp_path)], "there are no results"),
        (["report", str(folder), "--out", ""], "--out is empty"),
        (["report", str(folder), "--out", str(folder / "study.db" / "x.html")], "can't be written"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert words in capsys.readouterr().err


def test_times_come_back_from_a_folder_and_older_ones_have_fewer(study, tmp_path):
    folder = study.save(tmp_path / "run")
    timing = study.results.timing
    assert sum(one.completed for one in timing.stretches) == 9
    assert timing.stretches[-1].end <= timing.run_seconds + timing.compile_seconds
    assert jreg.load_results(folder).timing == timing
    with contextlib.closing(sqlite3.connect(folder / "study.db")) as connection, connection:
        connection.execute("DELETE FROM study WHERE name = 'stretches'")
    found = jreg.load_results(folder).timing
    assert (found.stretches, found.totals()) == ([], timing.totals())
    for damaged in ("[[1]]", "7", "[[NaN, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]", '["aaaaaaaaaaa"]'):
        with contextlib.closing(sqlite3.connect(folder / "study.db")) as connection, connection:
            connection.execute("INSERT OR REPLACE INTO study VALUES ('stretches', ?)", (damaged,))
        with pytest.raises(ValueError, match=r"study\.db is damaged"):
            jreg.load_results(folder)


# the style


def palettes() -> dict[str, dict[str, str]]:
    """The variables of each scheme: those of its rule over those of the first one."""
    rules = [dict(re.findall(r"--(\w+): (#\w+)", part)) for part in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)]
    light, dark, paper = rules
    return {"light": light, "dark": light | dark, "print": light | paper}


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        colour = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        parts = np.array([int(colour[n : n + 2], 16) for n in (0, 2, 4)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_contrast_is_that_of_wcag_aa(scheme):
    found = palettes()[scheme]
    for name in ("ink", "soft", "link", "warn"):
        for ground in ("paper", "panel"):
            assert contrast(found[name], found[ground]) >= 4.5, (name, ground)
    for name in ("grid", "quiet", "hot", *(f"c{n}" for n in range(8))):
        assert contrast(found.get(name, "#000000"), found["paper"]) >= 3, name
    for shade in range(1, 7):
        text = found["ink"] if shade < 5 else found["paper"]
        assert contrast(text, found[f"q{shade}"]) >= 4.5, shade
