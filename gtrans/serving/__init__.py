"""The HTTP service of packaged detectors.

=============  =====================================================================
``settings``   the service's knobs
``models``     which detector answers for a category, and how it is exchanged
``worker``     the threads that score, and the bounded queue before them
``uploads``    from a request's body to encoded images, within limits
``metrics``    what Prometheus reads
``app``        the routes (FastAPI)
``server``     the process: port, signals, draining
``manifests``  Kubernetes objects that run it, or KServe in its place
=============  =====================================================================
"""
