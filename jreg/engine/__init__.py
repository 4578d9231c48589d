"""Many trainings at once: the layout over devices, the compiled program, who waits and who trains."""

from jreg.engine.executor import Executor
from jreg.engine.jobs import Job, Outcome
from jreg.engine.layout import Layout, choose_layout, use_cpu_devices
from jreg.engine.local import Local
from jreg.engine.pool import Chunk, Pool, Running
from jreg.engine.saved import Saved

__all__ = [
    "Chunk",
    "Executor",
    "Job",
    "Layout",
    "Local",
    "Outcome",
    "Pool",
    "Running",
    "Saved",
    "choose_layout",
    "use_cpu_devices",
]
