"""The tracking server's pod, and the scripts that tests run inside pods."""

from harness.programs import CLONE

SERVER = "deployment/mlflow"
"""The object that `kubectl exec` finds the pod by."""
POD_SCRIPTS = CLONE / "tests" / "e2e" / "support" / "pod_scripts"
