"""What a training ends with and a person uses."""
