"""Dealing trainings to workers: with workers of this process, which die, fall silent and come back as a test says."""

import sys
from collections import Counter, deque

import jax
import numpy as np
import optax
import optuna
import pytest

import jreg
from jreg import losses, nn, penalties
from jreg.cli import main
from jreg.cli.ray import with_address
from jreg.engine import Local
from jreg.executors.dealer import Dealer
from jreg.executors.messages import Answered, Gone, Lost, Raised, Ready, Shared
from jreg.executors.worker import Worker
from jreg.store import Nowhere
from jreg.study import Design, Everything, run
from jreg.study.asking import Asking
from jreg.study.cross_validation import policy_of
from jreg.study.executing import check_executor
from jreg.training import Status

SPACE = jreg.grid(l2=[0.0, 1e-3, 1e-2], rate=[1e-2, 1e-1])
ASKED = {"cv": 3, "seeds": 2, "epochs": 4}


def recipe(hp):
    penalty = hp["l2"] * jreg.on_params(penalties.l2)
    # Of more parameters than a CPU trains in a batch, whose bits would depend on the neighbours.
    return jreg.Recipe(nn.MLP((160, 3)), losses.softmax_cross_entropy, optax.sgd(hp["rate"]), penalty=penalty)


@pytest.fixture(scope="module")
def wine():
    return jreg.load_dataset("wine")


class Counted(Nowhere):
    """How often each training has been stored."""

    keeps = True

    def __init__(self):
        self.seen = Counter()

    def append(self, results, found, log=()):
        for some in found:
            self.seen.update(zip(some.setting.tolist(), some.fold.tolist(), some.seed.tolist(), strict=True))


class Clock:
    """The time as the driver sees it."""

    now = 0.0

    def monotonic(self):
        return self.now


class Fake:
    """Workers of this process, each of which answers one step per look; faults are functions of a step's number.

    Attributes:
      trained: how often each training was sent to a worker, by its id.
    """

    def __init__(self, shared, count, clock, dies=(), silent=(), raises=(), gone=(), epochs=None):
        self.count, self._shared, self._clock = count, shared, clock
        self._workers = [Worker(shared) for _ in range(count)]
        self._steps = [deque() for _ in range(count)]
        self._events = []
        self._dies, self._silent, self._raises, self._gone = dict(dies), dict(silent), dict(raises), set(gone)
        self._done, self._epochs = Counter(), epochs
        self.trained, self.sent, self.restarts, self.late = Counter(), [], [], 0

    def send(self, worker, step, plans):
        for _, jobs in step.blocks:
            self.trained.update(jobs.id.ravel().tolist())
        self.sent.append((worker, step))
        self._steps[worker].append((step, plans))

    def receive(self, seconds):
        self._clock.now += seconds
        found, self._events = self._events, []
        for number, steps in enumerate(self._steps):
            if not steps:
                continue
            place = (number, self._done[number])
            if place in self._silent and self._clock.now < self._silent[place]:
                continue
            self.late += place in self._silent
            self._done[number] += 1
            step, plans = steps.popleft()
            step = step._replace(epochs=step.epochs or self._epochs)
            if place in self._dies:
                found += self._die(number)
            elif place in self._raises:
                found.append(Answered(number, self._raised(number, step, self._raises[place])))
            else:
                found.append(Answered(number, self._workers[number].step(step, plans)))
        return found

    def restart(self, worker):
        self.restarts.append(worker)
        self._done[worker] += bool(self._steps[worker])
        self._die(worker)

    def _die(self, number):
        self._steps[number].clear()
        self._workers[number] = Worker(self._shared)
        self._events.append(Gone(number, "gone") if number in self._gone else Ready(number))
        return [Lost(number, "killed")]

    def _raised(self, number, step, error):
        answer = self._workers[number].step(step._replace(blocks=()), {})
        return answer._replace(raised=Raised.of(error), outcomes=())


def prepared(monkeypatch, wine, count=2, *, space=SPACE, turns=False, together=1, deadline=None, warm=None, **faults):
    """A design, a dealer and its workers."""
    clock = Clock()
    monkeypatch.setattr("jreg.executors.dealer.time", clock)
    monkeypatch.setattr("jreg.executors.hands.time", clock)
    design = Design.of(recipe, wine, space, warm=warm, **ASKED)
    shared = Shared(wine, design.folds, 36, turns, together)
    crew = Fake(shared, count, clock, **faults)
    return design, Dealer(crew, turns=turns, together=together, deadline=deadline), crew


@pytest.fixture(scope="module")
def local(wine):
    return jreg.cross_validate(recipe, wine, SPACE, **ASKED, progress=False)


def assert_same(one, two):
    for name in ("status", "epochs", "best_epochs", "history"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_two_workers_find_what_this_process_finds_bit_for_bit(monkeypatch, wine, local):
    design, dealer, crew = prepared(monkeypatch, wine)
    design, results = run(design, Everything([design.everything()]), dealer)
    assert_same(results, local.results)
    assert set(crew.trained.values()) == {1}
    assert {worker for worker, step in crew.sent if step.blocks} == {0, 1}
    assert not dealer.busy
    assert dealer.layouts[next(iter(design.plans.values()))].batch == 1


def test_a_worker_that_dies_costs_what_it_had_and_nothing_is_found_twice(monkeypatch, wine, local):
    design, dealer, crew = prepared(monkeypatch, wine, dies={(0, 1): True})
    counted = Counted()
    design, results = run(design, Everything([design.everything()]), dealer, counted)
    assert_same(results, local.results)
    again = [number for number, times in crew.trained.items() if times > 1]
    assert 0 < len(again) < len(crew.trained)
    assert max(crew.trained.values()) == 2
    assert set(counted.seen.values()) == {1}


def test_a_silent_workers_trainings_go_to_the_other_and_its_late_answer_is_dropped(monkeypatch, wine, local):
    # Its answer comes just before that of the other, who has got its trainings after 5 seconds.
    design, dealer, crew = prepared(monkeypatch, wine, deadline=5.0, silent={(0, 1): 6.5})
    counted = Counted()
    design, results = run(design, Everything([design.everything()]), dealer, counted)
    assert (crew.late, crew.restarts) == (1, [])
    assert_same(results, local.results)
    assert max(crew.trained.values()) == 2
    assert set(counted.seen.values()) == {1}


def test_a_worker_that_stays_silent_is_started_again(monkeypatch, wine, local):
    design, dealer, crew = prepared(monkeypatch, wine, count=1, deadline=5.0, silent={(0, 1): 1e9})
    _, results = run(design, Everything([design.everything()]), dealer)
    assert crew.restarts == [0]
    assert_same(results, local.results)


def test_a_worker_that_compiles_has_ten_minutes(monkeypatch, wine, local):
    design, dealer, crew = prepared(monkeypatch, wine, count=1, deadline=5.0, silent={(0, 0): 500.0})
    _, results = run(design, Everything([design.everything()]), dealer)
    assert set(crew.trained.values()) == {1}
    assert_same(results, local.results)


def test_the_deadline_follows_from_the_longest_answer(monkeypatch, wine):
    # After an answer that took 50 seconds, 300 more are within ten times of it, and would not be within a minute.
    design, dealer, crew = prepared(monkeypatch, wine, count=1, silent={(0, 1): 50.0, (0, 2): 350.0})
    run(design, Everything([design.everything()]), dealer)
    assert set(crew.trained.values()) == {1}


def test_a_training_that_ends_three_workers_ends_the_study(monkeypatch, wine):
    design, dealer, _ = prepared(monkeypatch, wine, count=1, dies={(0, number): True for number in range(1, 9)})
    with pytest.raises(ConnectionError, match=r"a training was tried 3 times, and its worker died 3 times \(killed\)"):
        run(design, Everything([design.everything()]), dealer)


def test_a_worker_that_lacks_memory_once_begins_anew(monkeypatch, wine, local):
    lacks = MemoryError("no room")
    design, dealer, crew = prepared(monkeypatch, wine, raises={(0, 1): lacks})
    _, results = run(design, Everything([design.everything()]), dealer)
    assert crew.restarts == [0]
    assert_same(results, local.results)


def test_a_training_that_never_has_room_ends_the_study(monkeypatch, wine):
    lacks = {(0, number): MemoryError("no room") for number in range(9)}
    design, dealer, _ = prepared(monkeypatch, wine, count=1, raises=lacks)
    with pytest.raises(MemoryError, match=r"there was too little memory for it 3 times \(no room\)"):
        run(design, Everything([design.everything()]), dealer)


def test_what_a_worker_raises_is_raised_here_with_its_traceback_and_what_ended_is_kept(monkeypatch, wine):
    design, dealer, _ = prepared(monkeypatch, wine, count=1, raises={(0, 2): ZeroDivisionError("in the recipe")})
    counted = Counted()
    with pytest.raises(ZeroDivisionError, match="in the recipe") as caught:
        run(design, Everything([design.everything()]), dealer, counted)
    assert "ZeroDivisionError: in the recipe" in str(caught.value.__cause__)
    assert counted.seen


def test_without_workers_a_study_ends_and_says_why(monkeypatch, wine):
    design, dealer, _ = prepared(monkeypatch, wine, count=1, dies={(0, 2): True}, gone={0})
    with pytest.raises(ConnectionError, match=r"none of the 1 workers is left \(gone\)"):
        run(design, Everything([design.everything()]), dealer)


def test_one_of_two_workers_is_enough(monkeypatch, wine, local):
    design, dealer, _ = prepared(monkeypatch, wine, dies={(0, 1): True}, gone={0})
    _, results = run(design, Everything([design.everything()]), dealer)
    assert_same(results, local.results)


def test_a_race_is_that_of_this_process(monkeypatch, wine):
    race = jreg.successive_halving(least=1)
    local = jreg.cross_validate(recipe, wine, SPACE, race=race, **ASKED, progress=False)
    design, dealer, _ = prepared(monkeypatch, wine, dies={(1, 2): True})
    _, results = run(design, policy_of(design, race), dealer)
    assert (results.status == Status.PRUNED).any()
    assert_same(results, local.results)


def test_a_warm_path_whose_worker_dies_in_the_middle_is_that_of_this_process(monkeypatch, wine):
    space = jreg.grid(l2=[1e-4, 1e-3, 1e-2], rate=[1e-2])
    local = jreg.cross_validate(recipe, wine, space, warm="l2", **ASKED, progress=False)
    # A path has 3 trainings of 4 epochs; with one epoch for each answer the first has ended when its worker dies.
    design, dealer, crew = prepared(monkeypatch, wine, space=space, warm="l2", dies={(0, 6): True}, epochs=1)
    counted = Counted()
    _, results = run(design, policy_of(design, None), dealer, counted)
    assert_same(results, local.results)
    assert set(counted.seen.values()) == {1}
    assert len(counted.seen) == 18
    assert max(crew.trained.values()) == 2


def test_a_search_loses_nothing_and_does_nothing_twice(monkeypatch, wine):
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    asker = jreg.Optuna(study, lambda trial: {"l2": trial.suggest_float("l2", 1e-4, 1e-1), "rate": 0.1})
    _, setting = first = asker.ask()
    design, dealer, _ = prepared(
        monkeypatch, wine, space=[setting], turns=True, together=6, dies={(0, 2): True, (1, 5): True}
    )
    counted = Counted()
    design, results = run(design, Asking(asker, 7, 1, first[0]), dealer, counted)
    assert results.shape == (7, 3, 2)
    assert (results.status == Status.COMPLETED).all()
    assert set(counted.seen.values()) == {1}
    assert len(counted.seen) == 42
    # Each setting trains as it would have here.
    same = jreg.cross_validate(recipe, wine, list(results.spec.settings), **ASKED, progress=False)
    assert_same(results, same.results)
    assert [trial.value for trial in study.trials] == pytest.approx(same.scores.mean(axis=(1, 2)).tolist())


def test_a_search_gives_trials_up_on_workers_too(monkeypatch, wine):
    class Pruner(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number % 2 == 1 and trial.last_step >= 2

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0), pruner=Pruner())
    asker = jreg.Optuna(study, lambda trial: {"l2": trial.suggest_float("l2", 1e-4, 1e-1), "rate": 0.1})
    number, setting = asker.ask()
    design, dealer, _ = prepared(monkeypatch, wine, space=[setting], turns=True, together=6)
    _, results = run(design, Asking(asker, 4, 1, number), dealer)
    assert (results.status[[0, 2]] == Status.COMPLETED).all()
    assert (results.status[[1, 3]] == Status.PRUNED).all()
    assert set(results.epochs[[1, 3]].ravel()) == {2}


def test_a_given_up_training_of_a_dead_worker_does_not_come_back(monkeypatch, wine):
    design, dealer, crew = prepared(monkeypatch, wine, count=1, dies={(0, 1): True})
    for plan, jobs in design.jobs(design.everything(), np.arange(36)[:, None]):
        dealer.submit(plan, jobs)
    dealer.advance()
    held = [number for _, step in crew.sent for _, jobs in step.blocks for number in jobs.id.ravel().tolist()]
    dealer.cancel(held)
    found = []
    while dealer.busy:
        found += [number for outcome in dealer.advance().outcomes for number in outcome.id.tolist()]
    assert sorted(found) == [number for number in range(36) if number not in held]


def test_all_of_a_study_is_no_share_of_it():
    """So `jreg.resume`, which trains all that is missing, may have an executor."""
    check_executor(jreg.executors.Ray(), shard=(0, 1))


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        ("ray", {}, "executor is 'ray', but must be a jreg.executors.Ray"),
        (Local, {}, "but must be a jreg.executors.Ray"),
        (jreg.executors.Ray(), {"shard": "0/2"}, "shard is 0/2, but executor deals out all trainings by itself"),
        (jreg.executors.Ray(), {"layout": jreg.Layout(jax.devices(), 1)}, "leave one of them out"),
    ],
)
def test_what_does_not_go_together_is_refused(wine, given, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        jreg.cross_validate(recipe, wine, SPACE, **ASKED, executor=given, progress=False, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_workers": 0}, "num_workers is 0, but must be at least 1"),
        ({"num_workers": 1.5}, "num_workers is 1.5"),
        ({"resources": {"CPU": 0}}, "the resource CPU is 0, but must be a finite number above 0"),
        ({"resources": "GPU"}, "resources are 'GPU', but must be what each worker has"),
        ({"address": "ray://host:10001"}, "but must be a host and a port"),
        ({"address": "nowhere"}, "'nowhere', but must be a host and a port"),
        ({"deadline": -1}, "deadline is -1"),
        ({"max_restarts": -1}, "max_restarts is -1"),
    ],
)
def test_numbers_that_are_none_are_refused(options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        jreg.executors.Ray(**options)


def test_without_ray_a_sentence_says_what_to_install(monkeypatch, wine, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "jreg\[ray\]"'):
        jreg.cross_validate(
            recipe, wine, SPACE, **ASKED, executor=jreg.executors.Ray(), store=tmp_path / "run", progress=False
        )
    assert not (tmp_path / "run").exists()


class OwnError(ValueError):
    pass


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (KeyError("no 'l2'"), KeyError, "no 'l2'"),
        (OwnError("mine"), ValueError, "OwnError: mine"),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "why"), UnicodeError, "UnicodeDecodeError: "),
        (OSError("full"), OSError, "full"),
        (Exception("plain"), RuntimeError, "Exception: plain"),
    ],
)
def test_errors_travel_as_text_and_are_of_the_nearest_known_kind(error, kind, text):
    found = Raised.of(error).error()
    assert type(found) is kind
    assert text in found.args[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--ray-workers", "2"], "--ray-workers 2 is for --ray, which isn't given"),
        (["--ray", "--shard", "0/2"], "--shard 0/2 is for processes without --ray"),
        (["--ray=ray://host:10001"], "Ray's address is 'ray://host:10001', but must be a host and a port"),
        (["--ray", "auto", "--ray-workers", "0"], "num_workers is 0, but must be at least 1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, sentence, capsys, monkeypatch):
    # As where it is installed: these are found before it is looked at.
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", "wine", *arguments])
    assert capsys.readouterr().err.startswith(f"jreg: {sentence}")


def test_ray_may_stand_before_a_recipe_file():
    assert with_address(["--ray", "mine.py", "--ray"]) == ["--ray=local", "mine.py", "--ray=local"]
    assert with_address([]) == []
    assert with_address(["--ray", "auto"]) == ["--ray", "auto"]
    assert with_address(["--ray", "10.0.0.5:6379", "mine.py"]) == ["--ray", "10.0.0.5:6379", "mine.py"]
