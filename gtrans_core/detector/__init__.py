"""The packaged detector: networks, graph, threshold, files."""
