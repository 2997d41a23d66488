"""Each test of the selection, in a virtual machine."""

from __future__ import annotations

import pytest

from integration.vm.conftest import Guests
from integration.vm.kernels import Unavailable


def test_in_a_guest(guests: Guests, guest_test: tuple[str, str]) -> None:
    kernel, name = guest_test
    try:
        session = guests.of(kernel)
    except Unavailable as error:
        pytest.skip(str(error))
    result = session.result(name)
    if result is None:
        done = session.close()
        ending = "did not end in time" if done.status is None else f"ended with {done.status}"
        pytest.fail(
            f"the guest {ending} after {done.seconds:.0f} s without a result of this test\n"
            f"{done.output[-3000:]}\n{done.console[-3000:]}",
            pytrace=False,
        )
    if result.failures:
        pytest.fail(f"in a guest with Linux {kernel}:\n{result.failures}", pytrace=False)
    if result.skipped is not None:
        pytest.skip(result.skipped)
