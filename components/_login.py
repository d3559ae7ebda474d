"""The login of the tracking server: passwords of its users, and keys that all its pods share."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from ._kubernetes.arguments import checked
from ._kubernetes.grammars import object_name
from ._kubernetes.labels import labels, metadata
from ._kubernetes.pods import Credentials
from ._kubernetes.retention import RetentionArgs, generations
from ._kubernetes.uris import fingerprint

ADMIN = "admin"
"""The user who may do anything (images/mlflow/mlflow_kubernetes/login/basic_auth.py)."""


def check_users(component: str, users: Sequence[str]) -> None:
    """Refuse names of users that cannot have a password and a Secret of their own.

    Raises:
        pulumi.RunError: naming the component, the user, and what is accepted.
    """

    def user_name(user: str) -> str:
        if user == ADMIN or users.count(user) > 1:
            raise ValueError(user)
        object_name(f"{component}-{_suffix(user)}")
        return object_name(user)

    accepted = f"names of small letters, digits, dashes and dots, each once, without {ADMIN}"
    for user in users:
        checked(f"{component}.users", user, user_name, accepted)


def _suffix(user: str) -> str:
    """Return the end of the name of the Secret with a user's login."""
    return f"user-{user}"


class Login:
    """Generated passwords and keys, as children of the tracking server ``name``."""

    keys: Credentials
    """The Secret with the keys that all pods of the server share, and with the former keys."""
    passwords: list[Credentials]
    """The Secret with the passwords of all users, for Jobs alone; empty without users."""

    def __init__(
        self,
        name: str,
        namespace: pulumi.Input[str],
        users: Sequence[str],
        retention: RetentionArgs,
        opts: pulumi.ResourceOptions,
        *,
        rotation: Mapping[str, int],
    ) -> None:
        """Make passwords, keys, and the Secrets with them.

        Args:
            name: name of the tracking server.
            namespace: the namespace of the Secrets.
            users: names of the users; without a login, none.
            retention: what becomes of the passwords and keys.
            opts: options of each object.
            rotation: how many times each of them was rotated.
        """
        self._name = name
        self._namespace = namespace
        self._retention = retention
        self._rotation = rotation
        self._opts = opts
        # MLflow signs its pages with this key, and does not start without it.
        page_key, *_ = self._generated("page-key", 64, "page")
        # MLflow encrypts keys of model providers with this passphrase. Its default is public
        # (mlflow/utils/crypto.py).
        passphrase, *former_passphrases = self._generated("passphrase", 64, "kek")
        # MLflow encrypts secrets of webhooks with a key that is derived from this text. By default,
        # each process of MLflow makes a key of its own, and cannot read the secrets that another
        # process wrote (EncryptedString in mlflow/store/model_registry/dbmodels/models.py).
        webhooks, *former_webhooks = self._generated("webhook-key", 64, "webhook")
        self.keys = self._secret(
            "keys",
            {
                "MLFLOW_FLASK_SERVER_SECRET_KEY": page_key,
                "MLFLOW_CRYPTO_KEK_PASSPHRASE": passphrase,
                "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": webhooks.apply(fernet_key),
                **self._former_keys(former_passphrases, former_webhooks),
            },
            fingerprint(page_key, passphrase, webhooks),
        )
        # Only the admin's password is rotated.
        self._passwords = {
            user: self._generated(f"{user}-password", 32, user if user == ADMIN else "")[0]
            for user in users
        }
        self.passwords = []
        if users:
            everybody = pulumi.Output.all(**self._passwords).apply(json.dumps)
            known = fingerprint(*self._passwords.values())
            self.passwords.append(self._secret("users", {"USERS": everybody}, known))

    def variables(self, user: str) -> dict[str, pulumi.Input[str]]:
        """Return the variables by which MLflow's client logs in as this user."""
        # The experiment of a program that names none: Default for the admin, and for each other
        # user the one that the migration makes (images/mlflow, users.py).
        own = {} if user == ADMIN else {"MLFLOW_EXPERIMENT_NAME": user}
        return {
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": self._passwords[user],
            **own,
        }

    def credentials(self, user: str) -> Credentials:
        """Make a Secret with the variables by which a client in the cluster is this user."""
        content = self.variables(user)
        return self._secret(_suffix(user), content, fingerprint(*content.values()))

    def _generated(self, what: str, length: int, rotates_with: str) -> list[pulumi.Output[str]]:
        number = self._rotation.get(rotates_with, 0)
        name = f"{self._name}-{what}"
        return generations(name, length, self._retention, self._opts, number)

    def _former_keys(
        self, passphrases: list[pulumi.Output[str]], webhooks: list[pulumi.Output[str]]
    ) -> dict[str, pulumi.Input[str]]:
        """Return the variables with which servers read what former keys encrypted."""
        if not (passphrases or webhooks):
            return {}
        both = pulumi.Output.all(pulumi.Output.all(*passphrases), pulumi.Output.all(*webhooks))
        former = both.apply(
            lambda known: json.dumps(
                {"passphrases": known[0], "webhooks": [fernet_key(one) for one in known[1]]}
            )
        )
        version = {"MLFLOW_CRYPTO_KEK_VERSION": str(len(passphrases) + 1)} if passphrases else {}
        return {"MLFLOW_KUBERNETES_FORMER_KEYS": former, **version}

    def _secret(
        self, what: str, content: dict[str, pulumi.Input[str]], known: pulumi.Input[str]
    ) -> Credentials:
        name = f"{self._name}-{what}"
        secret = k8s.core.v1.Secret(
            name,
            metadata=metadata(name, self._namespace, labels(self._name, "mlflow", "login")),
            string_data=content,
            opts=self._opts,
        )
        return {"secret": secret.metadata.name, "fingerprint": known}


def fernet_key(seed: str) -> str:
    """Return the Fernet key that is derived from a seed: 32 bytes as URL-safe base64.

    Source: https://github.com/fernet/spec/blob/master/Spec.md
    """
    return base64.urlsafe_b64encode(hashlib.sha256(seed.encode()).digest()).decode()
