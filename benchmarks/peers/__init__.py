"""anomalib's models, in an environment of their own, scored by our metric code.

``contract`` is what both environments share; ``run_peer`` and ``recipes`` run in ``.venv-peers``;
``peers`` and ``nearest_neighbour`` run in ours.
"""
