"""Running a compiled pipeline on this machine."""
