"""Reference network (AGN), student (Trans), scene model, loss and score."""
