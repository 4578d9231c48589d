"""What was asked and what was found, without code and data."""
