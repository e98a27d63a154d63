"""The step that ranks the categories of one run and names those that failed."""
