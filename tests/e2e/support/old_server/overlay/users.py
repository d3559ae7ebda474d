"""The stack's program for users, on a release."""

from mlflow_kubernetes import released

released.complete_users()

from mlflow_kubernetes.current_users import main, make, own_experiment  # noqa: E402

__all__ = ["make", "own_experiment"]

if __name__ == "__main__":
    main()
