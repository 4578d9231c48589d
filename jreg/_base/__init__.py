"""What every level shares: aliases, checks of numbers, parameter trees, random bits, files; no mathematics."""
