"""What a user can meet at a step: for each errno the cause, and what to do about it. A table."""

from __future__ import annotations

import errno

from nestbox.plan import steps as s

EVERYTHING = 0
DOCTOR = "run `nestbox doctor`: it says what is missing here and what brings it back"

# For (step, errno); errno EVERYTHING stands for any other. Cause first, then remedy; an empty
# cause leaves the kernel's own words.
KNOWN: dict[tuple[type[s.Step], int], tuple[str, str]] = {
    (s.Sync, errno.ECANCELED): ("nestbox ended before the launch did", "start it again"),
    (s.ParentDeath, errno.ECANCELED): ("nestbox ended before the launch did", "start it again"),
    (s.OpenTree, errno.ENOENT): ("there is no such file or directory", "check the path"),
    (s.OpenTree, errno.ENODEV): (
        "it is another file than when it was looked at",
        "see who replaces files under /dev",
    ),
    (s.OpenTree, errno.EPERM): (
        "copying a mount needs CAP_SYS_ADMIN in the user namespace that owns the mounts",
        DOCTOR,
    ),
    (s.OpenTree, errno.EINVAL): (
        "mounts below it are locked by the user namespace, so it cannot be copied without them",
        "bind it with the option rbind",
    ),
    (s.NewFs, errno.EPERM): (
        "the outer environment does not allow this file system to be mounted",
        DOCTOR,
    ),
    (s.NewFs, errno.ENODEV): (
        "the kernel does not have this file system",
        "load its module on the host",
    ),
    (s.Attach, errno.EXDEV): (
        "the target leads to a proc file system, where a mount would hide what the kernel says",
        "choose a target that is not below /proc, and look for a symbolic link on its way",
    ),
    (s.Attach, errno.ELOOP): (
        "a symbolic link in the root is in its way",
        "make it a real directory in the root",
    ),
    (s.Attach, errno.ENOTDIR): (
        "the target is a file and the source is a directory, or the reverse",
        "choose a target of the same type",
    ),
    (s.Attach, errno.EROFS): (
        "the target does not exist and the root is read-only",
        "make the target in the root, or use an overlay root",
    ),
    (s.Attach, errno.ENOSPC): (
        "there are more mounts than fs.mount-max allows",
        "raise the sysctl fs.mount-max",
    ),
    (s.ProcWrite, errno.EINVAL): ("the kernel refuses the value", "check the value"),
    (s.ProcWrite, errno.ENOENT): ("the kernel has no such file", "check its name"),
    (s.ProcWrite, errno.EROFS): ("/proc/sys is read-only here", DOCTOR),
    (s.ChangeDirectory, errno.EXDEV): (
        "the working directory is outside the root",
        "choose one inside it with --workdir",
    ),
    (s.ChangeDirectory, errno.ENOENT): ("it does not exist in the root", "choose another one"),
    (s.ChangeDirectory, errno.ENOTDIR): ("it is not a directory", "choose another one"),
    (s.MakeDirectories, errno.EEXIST): (
        "a file or a dangling link is in its way",
        "choose another working directory",
    ),
    (s.MakeDirectories, errno.ENOTDIR): ("a file is in its way", "choose another one"),
    (s.MakeDirectories, errno.EROFS): (
        "it does not exist and the root is read-only",
        "choose a working directory that exists",
    ),
    (s.Rlimit, errno.EPERM): (
        "raising a hard limit needs CAP_SYS_RESOURCE in the initial user namespace",
        "ask for no more than the outer limit, which `nestbox doctor` shows",
    ),
    (s.Ids, errno.EINVAL): (
        "the id is not mapped in the user namespace",
        "map it with --userns, or choose another user",
    ),
    (s.Ids, errno.EPERM): (
        "changing ids needs CAP_SETUID and CAP_SETGID",
        DOCTOR,
    ),
    (s.DropBounding, errno.EPERM): ("it needs CAP_SETPCAP", DOCTOR),
    (s.Capset, errno.EPERM): (
        "the kernel gives less than was seen before the launch",
        DOCTOR,
    ),
    (s.LoadSeccomp, errno.EACCES): (
        "without no_new_privs it needs CAP_SYS_ADMIN",
        "add --security-opt no-new-privileges",
    ),
    (s.LoadSeccomp, errno.EINVAL): (
        "the kernel refuses the filter",
        "check the seccomp profile",
    ),
    (s.Verify, errno.EBADE): (
        "the capability sets that the kernel shows are not those that were planned",
        "report it with the record of this launch: nothing was executed",
    ),
    (s.Verify, EVERYTHING): (
        "",
        "allow capget and prctl in the seccomp profile",
    ),
    (s.Console, errno.ENOSPC): ("there is no free pseudo terminal", "raise kernel.pty.max"),
    (s.Init, errno.EAGAIN): ("no further process is allowed", "raise the limit of processes"),
    (s.OpenNamespace, errno.ENOENT): (
        "there is no such file, or the process that it belonged to has ended",
        "start the container whose namespace it is",
    ),
    (s.OpenNamespace, errno.EINVAL): (
        "the file is no namespace, or one of another kind",
        "check the path in linux.namespaces",
    ),
    (s.JoinNamespaces, errno.EPERM): (
        "entering a namespace needs CAP_SYS_ADMIN in the user namespace that owns it",
        "join that user namespace as well",
    ),
    (s.JoinNamespaces, errno.EINVAL): (
        "the pid namespace is not below the present one, or the user namespace is the present one",
        "join a namespace of a container that was started here",
    ),
    (s.Fork, errno.ENOMEM): (
        "the first process of the pid namespace has ended, and nobody can be born in it",
        "start the container whose namespace it is",
    ),
    (s.Fork, errno.EAGAIN): ("no further process is allowed", "raise the limit of processes"),
    (s.Fork, errno.ECANCELED): ("nestbox ended before the launch did", "start it again"),
    (s.TimeOffsets, errno.ERANGE): ("a clock would be shifted below 0", "choose larger offsets"),
    (s.TimeOffsets, errno.EACCES): (
        "the offsets can be written no more, or need CAP_SYS_TIME",
        DOCTOR,
    ),
    (s.Receive, errno.ECANCELED): ("nestbox ended before the launch did", "start it again"),
    (s.Receive, errno.EBADMSG): (
        "the runtime's answer was not what the step waits for",
        "report it: this is a defect of nestbox",
    ),
    (s.Sync, errno.EBADMSG): (
        "the runtime's answer was not what the step waits for",
        "report it: this is a defect of nestbox",
    ),
    (s.WaitForStart, EVERYTHING): (
        "the socket that it is to be started by is not there",
        "report it: this is a defect of nestbox",
    ),
    (s.Attach, errno.EEXIST): ("something else is in its way", "remove it from the root"),
    (s.MakeDevice, errno.EPERM): (
        "making a device needs CAP_MKNOD in the initial user namespace",
        "bind it from outside, or let the outer environment keep CAP_MKNOD",
    ),
    (s.MakeDevice, errno.EEXIST): (
        "the root has another file in its place",
        "remove it from the root, or mount a file system at /dev",
    ),
    (s.MakeDevice, errno.ELOOP): (
        "a symbolic link in the root is in its way (CVE-2026-41579)",
        "make it a real directory in the root",
    ),
    (s.MakeDevice, errno.EROFS): (
        "the root is read-only",
        "make it in the root, or mount a file system at /dev",
    ),
    (s.OpenTarget, errno.ENOENT): ("there is nothing to change", "check the path"),
    (s.SetAttr, errno.EPERM): (
        "the outer environment has locked attributes of the mount",
        "keep ro, nosuid, nodev, noexec and the access times as they are outside",
    ),
    (s.SetAttr, errno.EINVAL): (
        "it is no mount, or the file system does not take such attributes",
        "check the target and its options",
    ),
    (s.CopyUp, errno.ENOSPC): ("the tmpfs is too small", "raise its size"),
    (s.CopyUp, errno.ELOOP): ("directories lie too deep in it", "leave out tmpcopyup"),
    (s.MountFuse, EVERYTHING): (
        "the kernel or what surrounds us does not allow file systems of FUSE",
        "let the outer environment have /dev/fuse and the module fuse, or use --rootfs host:copy",
    ),
    (s.CopyTree, errno.ENOSPC): (
        "there is no more space for the copy of the root",
        "free some space, or choose another place with NESTBOX_STORAGE",
    ),
    (s.CopyTree, errno.ELOOP): (
        "a directory became a link meanwhile, or directories lie too deep in it",
        "run it again when nobody changes the root",
    ),
    (s.Pivot, errno.EINVAL): (
        "the outer root cannot be exchanged, as that of an initramfs",
        "start the container without pivot_root (--no-pivot)",
    ),
    (s.Scheduler, errno.EPERM): (
        "it needs CAP_SYS_NICE, and for SCHED_DEADLINE every processor as well",
        "give the outer environment CAP_SYS_NICE, and leave cpuset.cpus as it is outside",
    ),
    (s.Scheduler, errno.EINVAL): (
        "the kernel refuses the policy or its numbers",
        "check process.scheduler",
    ),
    (s.IoPriority, errno.EPERM): ("the class needs CAP_SYS_NICE", DOCTOR),
    (s.Affinity, errno.EINVAL): (
        "none of these processors is online and allowed by the cgroup",
        "choose others",
    ),
    (s.MemoryPolicy, errno.EINVAL): (
        "the mode does not go with these nodes, or the cgroup allows none of them",
        "check linux.memoryPolicy",
    ),
    (s.Label, errno.ENOENT): (
        "the kernel has no such security module, or the profile is not loaded",
        "load the profile, or leave it out",
    ),
    (s.Label, errno.EACCES): (
        "the security module around us does not allow the change of profile",
        "leave out the profile, or let the outer one allow it",
    ),
    (s.OpenDirectory, errno.EXDEV): (
        "another file system lies in the place of the kernel's own",
        "leave that place to the runtime",
    ),
    (s.Preserve, errno.EBADF): ("a descriptor is not open", "pass fewer of them"),
}
