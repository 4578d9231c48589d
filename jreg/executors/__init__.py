"""Where a study trains beside this process: `executor=` of `jreg.cross_validate`, `jreg.optimize` and the like."""

from jreg.executors.ray import Ray

__all__ = ["Ray"]
