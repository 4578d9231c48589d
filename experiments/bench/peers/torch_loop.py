"""The grid with PyTorch as a careful user writes it: a Python loop, Adam fused, rows gathered from tensors.

L2 is the optimizer's weight decay, which PyTorch's Adam adds to the gradient of the kernels alone.
"""

import concurrent.futures
import multiprocessing
from collections.abc import Callable

import torch
from torch import nn

from peers.task import Outcome, Setting, Task, by_setting

Training = tuple[Setting, int, int]


def network_of(task: Task, dropout: float) -> nn.Sequential:
    """The network with PyTorch's own initial weights."""
    layers: list[nn.Module] = []
    side, channels = task.x.shape[1], 1
    for filters in task.convolutions:
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        side, channels = side // 2, filters
    inputs = side * side * channels if task.convolutions else task.x.shape[1]
    layers += [nn.Flatten()] if task.convolutions else []
    for units in task.hidden:
        layers += [nn.Linear(inputs, units), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, task.outputs))


def tensors(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    """Examples, images with their channel first, and labels as the loss wants them."""
    x, y = torch.from_numpy(task.x), torch.from_numpy(task.y)
    x = x.movedim(-1, 1).contiguous() if task.convolutions else x
    return x, y.float() if task.outputs == 1 else y.long()


def train(task: Task, x: torch.Tensor, y: torch.Tensor, training: Training) -> tuple[float, int]:
    """One training; returns its validation accuracy and how many steps it took."""
    setting, fold, seed = training
    torch.manual_seed(1000 * seed + fold)
    network, (rows, validation) = network_of(task, setting.dropout), map(torch.from_numpy, task.folds[fold])
    loss = nn.BCEWithLogitsLoss() if task.outputs == 1 else nn.CrossEntropyLoss()
    params = list(network.parameters())
    groups = [
        {"params": [p for p in params if p.ndim > 1], "weight_decay": setting.l2},
        {"params": [p for p in params if p.ndim == 1]},
    ]
    optimizer = torch.optim.Adam(groups if setting.l2 else params, lr=task.learning_rate, fused=True)
    steps = 0
    for _ in range(task.epochs):
        for chosen in rows[torch.randperm(len(rows))].split(task.batch):
            optimizer.zero_grad()
            outputs = network(x[chosen])
            loss(outputs[:, 0] if task.outputs == 1 else outputs, y[chosen]).backward()
            optimizer.step()
            steps += 1
    network.eval()
    with torch.inference_mode():
        outputs = network(x[validation])
    predicted = outputs[:, 0] > 0 if task.outputs == 1 else outputs.argmax(dim=1)
    return (predicted == y[validation]).float().mean().item(), steps


def trainings_of(task: Task) -> list[Training]:
    """All of them in the order of their scores."""
    folds, seeds = range(len(task.folds)), range(task.seeds)
    return [(setting, fold, seed) for setting in task.settings for fold in folds for seed in seeds]


def outcome_of(task: Task, found: list[tuple[float, int]]) -> Outcome:
    """The outcome of all trainings."""
    scores, steps = zip(*found, strict=True)
    return Outcome(by_setting(task, scores), sum(steps), len(scores) * task.epochs, len(scores))


def make(task: Task) -> Callable[[], Outcome]:
    """One process with a thread a core."""
    torch.set_num_threads(2)
    x, y = tensors(task)
    return lambda: outcome_of(task, [train(task, x, y, training) for training in trainings_of(task)])


def make_in_two(task: Task) -> Callable[[], Outcome]:
    """Two processes with one thread each, which take trainings in turn."""
    # Forked workers have torch imported already; nothing has been computed yet that a fork could break.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    pool = concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(method), _begin, (task,))
    return lambda: outcome_of(task, list(pool.map(_one, trainings_of(task))))


def _begin(task: Task) -> None:
    global _work
    torch.set_num_threads(1)
    _work = (task, *tensors(task))


def _one(training: Training) -> tuple[float, int]:
    return train(*_work, training)
