"""The HDFS repository of the server image, on a real HDFS and a real server: the tests in inside/.

They run in the server's virtual environment. The end-to-end tests show that an image made of the
same packages works.
"""

import os
from pathlib import Path

import pytest

from lab import images, packages
from tests import server_environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="HDFS is started in its image, as root")


def test_the_repository_does_what_mlflow_asks_for_on_a_real_hdfs() -> None:
    packages.need("krb5-kdc", "krb5-admin-server", "libgssapi-krb5-2")
    environment = {
        "HADOOP_ROOT": str(images.unpack("apache/hadoop:3.4.2")),
        "HADOOP_USER_NAME": "mlflow",
    }
    server_environment.run_tests(Path(__file__).parent / "inside", environment)
