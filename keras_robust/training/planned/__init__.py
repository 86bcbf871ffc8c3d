"""Training on patches by a plan."""
