"""What the engine around us was told, as a check. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestbox.doctor.report import Check, Group, Verdict

if TYPE_CHECKING:
    from nestbox.outer.facts import EngineAnswer, OuterEnvironment


def check_engine(environment: OuterEnvironment) -> tuple[Check, ...]:
    """Return what the engine says of our container; nothing where no socket of one is reached."""
    engine = environment.engine
    if engine is None or not engine.sockets:
        return ()
    if engine.answer is None:
        what = "its socket is here, and does not tell about our container"
    else:
        what = f"started our container with: {_told(engine.answer)}"
    return (
        Check(
            group=Group.ENGINE,
            subject=engine.kind.value,
            verdict=Verdict.OK,
            what=f"{what}; whoever may use the socket is root on the engine's machine",
            evidence="; ".join(engine.sockets),
        ),
    )


def _told(answer: EngineAnswer) -> str:
    """Return the flags that the container was started with, as `docker run` writes them."""
    words = ["--privileged"] if answer.privileged else []
    words += [f"--cap-add {name}" for name in answer.cap_add]
    words += [f"--cap-drop {name}" for name in answer.cap_drop]
    words += [f"--security-opt {option}" for option in answer.security_opt]
    words += [f"--device {path}" for path in answer.devices]
    for flag, value, usual in (
        ("--userns", answer.userns, ("",)),
        ("--pid", answer.pid, ("", "private")),
        ("--network", answer.network, ("", "default", "bridge")),
        ("--cgroupns", answer.cgroupns, ("", "private")),
    ):
        if value not in usual:
            words.append(f"{flag} {value}")
    if answer.read_only:
        words.append("--read-only")
    return " ".join(words) or "no flag that gives or takes rights"
