"""The table of nestbox caps on recorded environments."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from nestbox.doctor.grid import render_outlooks
from nestbox.doctor.layout import Page
from nestbox.doctor.outlook import Outlooks, Prospect, decide, foresee
from nestbox.doctor.shipped import Shipped
from nestbox.errors import EnvironmentUnreadable
from nestbox.kernel.capabilities import BY_NAME
from nestbox.outer.facts import OuterEnvironment

Load = Callable[[str], OuterEnvironment]


def prospects(table: Outlooks, name: str) -> dict[str, Prospect]:
    row = table.capabilities[BY_NAME[name]]
    return {profile: cell.prospect for profile, cell in row.profiles.items()}


def test_table_is_the_golden_text(
    recorded: str, load: Load, shipped: Shipped, is_golden: Callable[[str, str], None]
) -> None:
    table = foresee(load(recorded), shipped.profiles)
    is_golden(f"{recorded}.caps", render_outlooks(table, Page()))


@pytest.mark.parametrize("width", [60, 80, 100])
def test_table_fits_its_page(width: int, recorded: str, load: Load, shipped: Shipped) -> None:
    text = render_outlooks(foresee(load(recorded), shipped.profiles), Page(width=width))
    assert max(map(len, text.splitlines())) <= width


def test_every_purpose_is_shown_in_full(load: Load, shipped: Shipped) -> None:
    table = foresee(load("host"), shipped.profiles)
    text = " ".join(render_outlooks(table, Page(width=60)).split())
    assert [row.name for row in table.capabilities if row.purpose not in text] == []


def test_cells_are_what_the_resolver_decides(recorded: str, load: Load, shipped: Shipped) -> None:
    environment = load(recorded)
    table = foresee(environment, shipped.profiles)
    for profile in shipped.profiles:
        resolution = decide(environment, profile)
        held = sum(
            1 << row.number
            for row in table.capabilities
            if row.profiles[profile.name].prospect not in {Prospect.MISSING, Prospect.NOT_ASKED}
        )
        assert held == resolution.sets.bounding


def test_what_is_missing_outside_is_missing_in_privileged_alone(
    load: Load, shipped: Shipped
) -> None:
    table = foresee(load("talos-privileged-pod"), shipped.profiles)
    assert prospects(table, "CAP_SYS_BOOT") == {
        "privileged": Prospect.MISSING,
        "default": Prospect.NOT_ASKED,
        "minimal": Prospect.NOT_ASKED,
    }
    cell = table.capabilities[BY_NAME["CAP_SYS_BOOT"]].profiles["privileged"]
    assert cell.lost_at.startswith("pid 1 (dockerd-entry)")
    assert cell.remedy


def test_an_unprivileged_user_gets_power_over_a_user_namespace(
    load: Load, shipped: Shipped
) -> None:
    table = foresee(load("unprivileged-user"), shipped.profiles)
    assert prospects(table, "CAP_CHOWN")["default"] is Prospect.USERNS
    assert prospects(table, "CAP_SYS_BOOT")["privileged"] is Prospect.NO_EFFECT
    assert table.capabilities[0].outer.letters == "---B-"


def test_a_capability_newer_than_the_kernel_is_listed_as_not_known(
    load: Load, shipped: Shipped
) -> None:
    environment = load("host")
    assert environment.capabilities is not None
    sets = environment.capabilities.sets
    mask = (1 << 40) - 1
    older = msgspec.structs.replace(
        environment.capabilities,
        last=39,
        sets=msgspec.structs.replace(sets, permitted=mask, effective=mask, bounding=mask),
    )
    table = foresee(msgspec.structs.replace(environment, capabilities=older), shipped.profiles)
    assert [row.name for row in table.capabilities if not row.kernel] == ["CAP_CHECKPOINT_RESTORE"]
    assert table.capabilities[40].outer.letters == "-----"


def test_a_capability_newer_than_nestbox_is_listed_by_number(load: Load, shipped: Shipped) -> None:
    environment = load("host")
    assert environment.capabilities is not None
    newer = msgspec.structs.replace(environment.capabilities, last=41)
    table = foresee(msgspec.structs.replace(environment, capabilities=newer), shipped.profiles)
    assert (table.capabilities[41].name, table.capabilities[41].kernel) == ("CAP_41", True)


def test_without_capability_facts_nothing_is_guessed(shipped: Shipped) -> None:
    with pytest.raises(EnvironmentUnreadable):
        foresee(OuterEnvironment(), shipped.profiles)
