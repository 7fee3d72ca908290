"""ccdl's version is its own as text, and ordered as the version of PyTorch whose ways it has."""

import pytest

import ccdl
from ccdl import _C


@pytest.mark.parametrize("version", [ccdl.__version__, ccdl.version.__version__, ccdl.torch_version.__version__])
def test_programs_take_the_new_way(version):
    for old in ["1.5.0", "0.4.1", "1.13.1+cu117", "2.0", "2.13.0", (1, 10), (2, 0, 0)]:
        assert version >= old and not version < old
    for later in ["2.14", "3.0.0", (99,)]:
        assert version < later and version <= later and not version > later
    assert version >= version and version <= ccdl.__version__ and not version < version
    assert version > "1.9.0" and version <= "2.13.0" and "1.5.0" <= version


def test_as_text_it_is_its_own():
    assert str(ccdl.__version__) == f"{ccdl.__version__}" == _C.__version__
    assert ccdl.__version__ == _C.__version__ and hash(ccdl.__version__) == hash(_C.__version__)
    assert ccdl.__version__ != "2.13.0" and isinstance(ccdl.__version__, str)
    assert ccdl.__version__.split(".") == _C.__version__.split(".")


def test_convolutions_padded_by_version():
    """The padding that models choose by version keeps the length of the sequence."""
    padding = 1 if ccdl.__version__ >= "1.5.0" else 2
    layer = ccdl.nn.Conv1d(3, 4, 3, padding=padding, padding_mode="circular")
    assert layer(ccdl.zeros(2, 3, 9)).shape == (2, 4, 9)
