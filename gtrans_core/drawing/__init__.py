"""Pictures: heat maps, figures, the gallery and the report."""
