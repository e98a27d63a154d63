"""Many images through one detector, into one table; an interrupted run goes on where it was.

===========  ===================================================================
``images``   which images a file, a folder or an ``s3://`` prefix stands for
``rows``     one image's row, and the columns of the table
``parts``    rows kept in small files beside the result, merged at the end
``scoring``  one image: score, row, heat map
``run``      the loop over all of them
===========  ===================================================================
"""
