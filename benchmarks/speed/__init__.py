"""How fast: everything timed side by side in one run."""
