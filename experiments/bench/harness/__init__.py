"""What the benchmarks share: processes taken in turn, the machine, ratios, tables. The contestants are in peers/."""
