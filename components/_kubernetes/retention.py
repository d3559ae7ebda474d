"""What becomes of a component's volumes and passwords when objects are replaced or deleted."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random


class VolumeOwner(TypedDict):
    """A ConfigMap of the same namespace. When it is deleted, Kubernetes deletes the volumes."""

    name: pulumi.Input[str]
    """Name of the ConfigMap. Required because an owner reference has the name."""
    uid: pulumi.Input[str]
    """Uid of the ConfigMap. Required because an owner reference has the uid."""


class RetentionArgs(TypedDict):
    """What becomes of volumes and generated passwords, such as ``StackNamespace.retention``."""

    protect_passwords: NotRequired[bool]
    """Whether Pulumi refuses to delete or replace the generated passwords, and the record of a
    database's members. Defaults to ``False``. A database that was set up with a password does not
    open with another, and no volume of a member is of use without the record."""
    volume_owner: NotRequired[VolumeOwner]
    """Object with which Kubernetes deletes the volumes. Defaults to none: the volumes stay until
    their namespace is deleted."""


def generated_password(
    name: str, length: int, retention: RetentionArgs, opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Return a password of ``length`` letters and digits, made once and kept in the state.

    Letters and digits need no quotes in a URL, a shell or a configuration file.
    """
    protection = pulumi.ResourceOptions(protect=retention.get("protect_passwords") or None)
    return random.RandomPassword(
        name,
        length=length,
        special=False,
        opts=pulumi.ResourceOptions.merge(opts, protection),
    ).result


def generations(
    name: str,
    length: int,
    retention: RetentionArgs,
    opts: pulumi.ResourceOptions,
    rotation: int = 0,
) -> list[pulumi.Output[str]]:
    """Return the passwords of all generations, the one in force first.

    Each rotation adds a password. The former ones stay in the state: a server may still have the
    one before, and data may be encrypted with it. The first one has the name without a number, so
    that a stack without a rotation has what it always had.

    Args:
        name: name of the first password.
        length: number of letters and digits.
        retention: what becomes of the passwords.
        opts: options of the passwords.
        rotation: how many times the password was rotated.
    """
    names = [*(f"{name}-{number}" for number in range(rotation, 0, -1)), name]
    return [generated_password(one, length, retention, opts) for one in names]


def owner_references(
    retention: RetentionArgs,
) -> list[pulumi.Input[k8s.meta.v1.OwnerReferenceArgs]] | None:
    """Return the owners of a volume's claim, or None.

    The owner stays until the stack is destroyed. Kubernetes' own
    ``persistentVolumeClaimRetentionPolicy`` would also delete the volumes of a StatefulSet that is
    only replaced.
    """
    owner = retention.get("volume_owner")
    if owner is None:
        return None
    return [
        k8s.meta.v1.OwnerReferenceArgs(
            api_version="v1", kind="ConfigMap", name=owner["name"], uid=owner["uid"]
        )
    ]
