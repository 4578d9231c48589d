"""Many trainings at once: the layout over devices, the compiled program, who waits and who trains."""

from jreg.engine.executor import Executor
from jreg.engine.jobs import Job, Outcome
from jreg.engine.layout import Layout, choose_layout, use_cpu_devices
from jreg.engine.local import Local
from jreg.engine.pool import Chunk, Pool, Running

__all__ = [
    "Chunk",
    "Executor",
    "Job",
    "Layout",
    "Local",
    "Outcome",
    "Pool",
    "Running",
    "choose_layout",
    "use_cpu_devices",
]
