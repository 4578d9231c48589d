"""Many trainings at once: the layout over devices, the compiled program, and who waits and who trains."""

from jreg.engine.layout import Layout, choose_layout, use_cpu_devices

__all__ = ["Layout", "choose_layout", "use_cpu_devices"]
