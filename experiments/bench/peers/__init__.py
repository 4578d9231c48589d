"""The contestants of speed.py, one file each, and what the benchmarks share.

A contestant's `make(task)` returns a function without arguments that runs the whole grid once and returns an
`Outcome`. What it does before it returns (loading, placing data) counts end to end but not in the steady time.
"""
