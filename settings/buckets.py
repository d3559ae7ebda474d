"""Rules of a bucket outside the stack: that of the artifacts and that of the backups."""

from collections.abc import Iterator

from settings.declarations import Group, Refuse


def half_a_key(settings: Group, refuse: Refuse, *halves: str) -> Iterator[str]:
    """Refuse the settings of an access key where one of both is missing."""
    given = settings.given(*halves)
    if len(given) == 1:
        (lacking,) = {*halves} - {*given}
        yield refuse(lacking, f"the other half of {given[0]}")


def authority(settings: Group, refuse: Refuse, *, ca: str, endpoint: str) -> Iterator[str]:
    """Refuse certificates of authorities where the endpoint has no certificate."""
    if settings.value(ca) and not str(settings.value(endpoint) or "").startswith("https://"):
        yield refuse(ca, f"nothing, unless {endpoint} is an https:// address")
