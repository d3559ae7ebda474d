"""Takes the label of the primary from all other members: Patroni runs this on a role's change.

Each member labels its own pod. One on a node that was lost keeps its label, and for the better part
of a minute the Service would go on to send every second connection there.
"""

import sys
import time

from postgres_members.cluster import Cluster

_TRIES = 10


def main() -> None:
    """Take the label away, if this member has become the primary.

    Arguments: the namespace, the name of this member, the label, its value of the primary; and, by
    Patroni itself, the action, the new role and the name of the database.
    """
    namespace, name, label, value, _, role, scope = sys.argv[1:]
    if role != "primary":
        return
    for _ in range(_TRIES):
        try:
            others = Cluster(namespace, scope).take_label(label, value, keeps=name)
        except OSError as error:
            print(f"fence: the Kubernetes API does not answer: {error}", file=sys.stderr)
            time.sleep(1)
        else:
            if others:
                print(f"fence: took the label of the primary from {', '.join(others)}")
            return


if __name__ == "__main__":
    main()
