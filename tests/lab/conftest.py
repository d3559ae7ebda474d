"""The lab that the modules of this folder use, each from nothing."""

from collections.abc import Iterator

import pytest

from tests.lab.second_lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.run("delete")
