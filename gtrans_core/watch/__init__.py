"""What scores look like in use, beside what they looked like on held-out good images.

=============  ==================================================================
``histogram``  scores as counts of fine logarithmic bins
``record``     keeping them: one file a day and writer, so that nobody waits
``drift``      the test, and what it advises: fine, recalibrate, retrain
``feedback``   what people say of images, kept with them
``exporting``  the same as test images of a category
=============  ==================================================================
"""
