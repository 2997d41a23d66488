"""--security-opt, as docker and podman write it."""

from __future__ import annotations

import pytest

from nestbox.errors import UsageError
from nestbox.flags.security import parse_security_options
from nestbox.policy.request import SecurityOptions


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (["seccomp=unconfined"], SecurityOptions(seccomp="unconfined")),
        (["seccomp:unconfined"], SecurityOptions(seccomp="unconfined")),
        (["seccomp=builtin"], SecurityOptions(seccomp="default")),
        (["seccomp=strict"], SecurityOptions(seccomp="strict")),
        (["seccomp=p.json"], SecurityOptions(seccomp="/here/p.json")),
        (["seccomp=/a:b.json"], SecurityOptions(seccomp="/a:b.json")),
        (["apparmor=unconfined"], SecurityOptions(apparmor="unconfined")),
        (["label=disable"], SecurityOptions()),
        (["label:disable"], SecurityOptions()),
        (["no-new-privileges"], SecurityOptions(no_new_privileges=True)),
        (["no-new-privileges:true"], SecurityOptions(no_new_privileges=True)),
        (["no-new-privileges=false"], SecurityOptions(no_new_privileges=False)),
        (["mask=/a:/b", "mask=/c"], SecurityOptions(mask=("/a", "/b", "/c"))),
        (["unmask=all"], SecurityOptions(unmask=("ALL",))),
        (["unmask=/proc/acpi:/proc/a*"], SecurityOptions(unmask=("/proc/acpi", "/proc/a*"))),
        (["systempaths=unconfined"], SecurityOptions(unmask=("ALL",))),
        (["writable-cgroups"], SecurityOptions(writable_cgroups=True)),
        (["writable-cgroups=false"], SecurityOptions(writable_cgroups=False)),
        (["seccomp=strict", "seccomp=strict"], SecurityOptions(seccomp="strict")),
    ],
)
def test_options(texts: list[str], options: SecurityOptions) -> None:
    assert parse_security_options(texts, "/here") == options


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        ([""], "no security option"),
        (["seccmp=unconfined"], "'seccmp'"),
        (["seccomp"], "no value"),
        (["seccomp="], "no value"),
        (["apparmor="], "no value"),
        (["label=type:container_t"], "SELinux"),
        (["no-new-privileges=perhaps"], "'perhaps'"),
        (["mask=relative"], "'relative'"),
        (["mask=/a:"], "''"),
        (["unmask="], "''"),
        (["systempaths=confined"], "'confined'"),
        (["seccomp=strict", "seccomp=unconfined"], "opposite"),
        (["no-new-privileges", "no-new-privileges=false"], "opposite"),
    ],
)
def test_what_is_no_option_is_refused(texts: list[str], word: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_security_options(texts, "/here")
    assert word in refused.value.cause
    assert refused.value.what == f"--security-opt {texts[-1]}"


def test_a_misspelt_option_is_told_which_one_was_meant() -> None:
    with pytest.raises(UsageError) as refused:
        parse_security_options(["no-new-privs"], "/here")
    assert refused.value.remedy == "did you mean no-new-privileges?"
