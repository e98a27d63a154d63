"""How many good images are falsely flagged, against what the threshold promises."""
