"""What every error promises, whatever it is told."""

import pytest

from lt_core import errors


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("a\nb.png: é × – ünsöund", "a\\nb.png: é × – ünsöund"),
        ("no such file\x00\u2028", r"no such file\x00\u2028"),
        (b"\xe9t\xe9".decode("utf-8", "surrogateescape"), r"\udce9t\udce9"),
        ("x" * 10**6, "x" * 1000 + " … " + "x" * 1000),
    ],
)
def test_a_message_is_one_line_that_can_be_printed(told, shown):
    for kind in (errors.DataError, errors.StoreError):
        assert str(kind(told)) == shown
