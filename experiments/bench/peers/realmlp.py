"""The grid with pytabkit's RealMLP, which trains all folds and seeds of a setting as one vectorized network in PyTorch.

That is its `n_cv`: with folds of one's own, as `val_idxs`, every fold of every seed is a member of one network with
stacked weights. Settings run one after the other, because its hyperparameters are those of the whole network.

By its documented parameters it is made as alike as it can be: hidden layers, batch size, epochs, Adam with a constant
learning rate and the usual moments, ReLU, constant dropout, and neither numeric embeddings, a scaling layer,
parametric activations, label smoothing nor preprocessing, all of which RealMLP has by default. What is left differs:

- L2 is decoupled weight decay of the same strength times the learning rate, on the weights; not a penalty.
- A batch smaller than the others, an epoch's last, is left out: 22 steps an epoch on digits where others take 23.
- Folds must be equally long: longer ones lose a few validation rows, which join the training rows of that fold.
- After every epoch it computes the validation accuracy of each fold, and it keeps and returns the parameters of each
  fold's best epoch, so its accuracy is the best of all epochs where the others' is the last one's.
- One sigmoid output is a softmax of two; initial weights are normal with He's variance.
- PyTorch Lightning drives its loop. It has no convolutions and is not given the grid `cnn`.
"""

import logging
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from pytabkit import RealMLP_TD_Classifier

from peers.task import Outcome, Setting, Task

THREADS = 2


def equal_folds(task: Task) -> np.ndarray:
    """Validation rows as ``(folds, n)``, all as many as the shortest fold has, the folds repeated for each seed."""
    least = min(len(validation) for _, validation in task.folds)
    rows = np.stack([validation[:least] for _, validation in task.folds])
    return np.repeat(rows, task.seeds, axis=0)


def network_of(task: Task, setting: Setting, members: int) -> RealMLP_TD_Classifier:
    """The estimator of a setting."""
    off: dict[str, Any] = {"use_parametric_act": False, "add_front_scale": False, "num_emb_type": "none"}
    constant = {f"{name}_sched": "constant" for name in ("lr", "p_drop", "wd")}
    return RealMLP_TD_Classifier(
        device="cpu",
        random_state=0,
        n_cv=members,
        n_threads=THREADS,
        n_epochs=task.epochs,
        batch_size=task.batch,
        predict_batch_size=len(task.x),
        hidden_sizes=list(task.hidden),
        act="relu",
        weight_param="standard",
        weight_init_mode="normal",
        weight_init_gain=math.sqrt(2),
        bias_init_mode="zeros",
        bias_lr_factor=1.0,
        lr=task.learning_rate,
        sq_mom=0.999,
        p_drop=setting.dropout,
        wd=setting.l2,
        use_ls=False,
        tfms=[],
        val_metric_name="class_error",
        **off,
        **constant,
    )


def make(task: Task) -> Callable[[], Outcome]:
    """A network for each setting."""
    # Lightning says at every fit that there is no GPU,
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # and warns about data loaders that aren't its own.
    warnings.filterwarnings("ignore", module=r"(pytorch_)?lightning.*")
    rows = equal_folds(task)
    members, trained = len(rows), len(task.x) - rows.shape[1]

    def train(setting: Setting) -> float:
        fitted = network_of(task, setting, members).fit(task.x, task.y, val_idxs=rows)
        # The errors of each member's best epoch, which it has computed already.
        (errors,) = fitted.cv_alg_interface_.model.best_val_errors["class_error"]
        return 1 - float(np.mean(errors))

    def run() -> Outcome:
        scores = [train(setting) for setting in task.settings]
        epochs = task.trainings * task.epochs
        return Outcome(scores, epochs * (trained // task.batch), epochs, epochs)

    return run
