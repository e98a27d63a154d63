"""Categories in, validated manifests out."""
