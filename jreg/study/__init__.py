"""Studies: cross-validation of many settings in one compiled program, searches, and the final training."""

from jreg.study.calibration import Calibration
from jreg.study.cross_validation import cross_validate
from jreg.study.design import Design, Trainings
from jreg.study.ensembles import refit_ensemble
from jreg.study.greedy import Greedy
from jreg.study.nested import NestedStudy, nested_cross_validate
from jreg.study.optimization import optimize
from jreg.study.out_of_fold import OutOfFold
from jreg.study.policies import Everything, Nesting, Racing
from jreg.study.policy import Decision, Policy, Replayed, View
from jreg.study.refit import refit
from jreg.study.replay import Replay, replay
from jreg.study.resume import resume
from jreg.study.run import run
from jreg.study.shards import Shard
from jreg.study.stopping_rows import set_aside
from jreg.study.study import Study

__all__ = [
    "Calibration",
    "Decision",
    "Design",
    "Everything",
    "Greedy",
    "NestedStudy",
    "Nesting",
    "OutOfFold",
    "Policy",
    "Racing",
    "Replay",
    "Replayed",
    "Shard",
    "Study",
    "Trainings",
    "View",
    "cross_validate",
    "nested_cross_validate",
    "optimize",
    "refit",
    "refit_ensemble",
    "replay",
    "resume",
    "run",
    "set_aside",
]
