"""Where a category comes from: one file a source."""
