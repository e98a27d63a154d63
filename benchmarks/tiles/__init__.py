"""Whether tiles find small defects on large parts."""
