"""The release folder: what a person needs to judge one promotion, as plain files."""
