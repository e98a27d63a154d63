"""The frozen guide, the student, its loss and its score."""
