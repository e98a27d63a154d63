"""What a process shares with the machine it runs on; every other room may import it.

=============  =====================================================================
``shortcuts``  around work that Python and the libraries do for nothing
``text``       text from outside, fit for a terminal and a log
=============  =====================================================================
"""
