"""The grid with torch.func: all trainings at once as one ensemble, following PyTorch's tutorial on model ensembling.

`stack_module_state` stacks the networks, `vmap` of `grad` gives each its own gradient, batch and dropout
(``randomness="different"``), and Adam runs fused on the stacked parameters, because it is elementwise.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from peers.task import Outcome, Task, by_setting, members, padded_folds
from peers.torch_loop import tensors


class Network(nn.Module):
    """The network; its rate of dropout is an argument, which `vmap` can spread over the members."""

    def __init__(self, task: Task):
        super().__init__()
        channels = (1, *task.convolutions)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(channels, task.convolutions, strict=False)
        )
        side = task.x.shape[1] // 2 ** len(task.convolutions)
        inputs = side * side * channels[-1] if task.convolutions else task.x.shape[1]
        widths = (inputs, *task.hidden)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, task.hidden, strict=False))
        self.last = nn.Linear(widths[-1], task.outputs)

    def forward(self, x: torch.Tensor, keep: torch.Tensor | None) -> torch.Tensor:
        """The logits; `keep` is the probability that dropout keeps a unit, None at evaluation."""
        for layer in self.convolutions:
            x = F.max_pool2d(F.relu(layer(x)), 2)
        x = x.flatten(1)
        for layer in self.hidden:
            x = F.relu(layer(x))
            if keep is not None:
                x = x * (torch.rand_like(x) < keep) / keep
        return self.last(x)


def make(task: Task) -> Callable[[], Outcome]:
    """The ensemble, with a thread a core."""
    torch.set_num_threads(2)
    x, y = tensors(task)
    train_rows, validation_rows = (torch.from_numpy(rows).long() for rows in padded_folds(task))
    columns = members(task)
    fold = torch.from_numpy(columns.fold).long()
    count = len(fold)
    spread = {name: torch.from_numpy(values) for name, values in columns.swept.items()}
    l2 = spread.get("l2")
    rates = spread.get("dropout", torch.full((count,), float(task.fixed.dropout)))
    keep = 1 - rates if rates.any() else None
    base = Network(task).to("meta")

    def losses_of(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if task.outputs == 1:
            return F.binary_cross_entropy_with_logits(outputs[:, 0], y, reduction="none")
        return F.cross_entropy(outputs, y, reduction="none")

    def objective(params: dict, chosen: torch.Tensor, keep: torch.Tensor | None, l2: torch.Tensor | None):
        weight = (chosen >= 0).float()
        losses = losses_of(functional_call(base, params, (x[chosen], keep)), y[chosen])
        loss = (weight * losses).sum() / weight.sum()
        if l2 is None:
            return loss
        return loss + 0.5 * l2 * sum(p.square().sum() for name, p in params.items() if name.endswith("weight"))

    axes = (0, 0, None if keep is None else 0, None if l2 is None else 0)
    gradients_of = vmap(grad(objective), in_dims=axes, randomness="different")

    def right(params: dict, chosen: torch.Tensor) -> torch.Tensor:
        outputs = functional_call(base, params, (x[chosen], None))
        predicted = outputs[:, 0] > 0 if task.outputs == 1 else outputs.argmax(dim=1)
        return ((predicted == y[chosen]) & (chosen >= 0)).sum() / (chosen >= 0).sum()

    def run() -> Outcome:
        torch.manual_seed(0)
        params, _ = stack_module_state([Network(task) for _ in range(count)])
        params = {name: p.detach() for name, p in params.items()}
        optimizer = torch.optim.Adam(params.values(), lr=task.learning_rate, fused=True)
        steps = 0
        for _ in range(task.epochs):
            # A random order of each member's rows, padding at the end.
            rows = train_rows[fold]
            order = rows.gather(1, torch.where(rows >= 0, torch.rand(rows.shape), 2.0).argsort(dim=1))
            for chosen in order.split(task.batch, dim=1):
                gradients = gradients_of(params, chosen, keep, l2)
                for name, p in params.items():
                    p.grad = gradients[name]
                optimizer.step()
                steps += count
        with torch.inference_mode():
            scores = vmap(right)(params, validation_rows[fold])
        return Outcome(by_setting(task, scores.numpy()), steps, count * task.epochs, count)

    return run
