"""``gtrans rollback``: the previous champion becomes champion again."""

from __future__ import annotations

from gtrans.cli.shared.options import Category, DryRun, ProfileName, Store, Why


def rollback(
    category: Category,
    why: Why = "",
    dry_run: DryRun = False,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Make the previous champion champion again.

    Its digests and its signature are checked first; the gate is not asked.
    """
    from gtrans.cli.shared.promotion_result import show_promotion
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.promotion.promotion import rollback as rolled_back
    from gtrans_core.trust.keys import SigningKey

    profile = load_profile(profile_name, store=store)
    key = SigningKey.from_environment()
    if key or (profile.trust.public_key and not dry_run):
        profile.trust.require_key(key)
    client = connect_existing(profile.tracking_uri)
    result = rolled_back(client, category, why=why, dry_run=dry_run, trust=profile.trust, key=key)
    show_promotion(category, result, dry_run)
