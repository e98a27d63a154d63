"""The HTTP service of packaged detectors.

=============  =====================================================================
``settings``   the service's knobs
``models``     which detector answers for a category, and how it is exchanged
``worker``     the threads that score, and the bounded queue before them
``drawings``   heat maps and their layers, where a request asks for them
``uploads``    from a request's body to encoded images, within limits
``feedback``   images that people mark, kept within limits
``metrics``    what Prometheus reads
``answers``    what a verdict and a model look like on the wire
``service``    the work that each request is
``rules``      what holds for every route; ``gate``: who is answered at all
``crowd``      whom there is no room for, and when each is told
``app``        the routes (FastAPI)
``pages``      the pages for people; their files are in ``page/``
``listening``  taking a port of this machine
``server``     the process: signals, draining
``manifests``  Kubernetes objects that run it, or KServe in its place
=============  =====================================================================
"""
