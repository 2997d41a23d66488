/* Mounts: made detached, changed while nobody can see them, then attached by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

int clone_tree(int fd, const char *path, unsigned int flags)
{
	return (int)syscall(SYS_open_tree, fd, path,
			    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
}

int attach_at(int mount, int target)
{
	return (int)syscall(SYS_move_mount, mount, "", target, "",
			    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int set_attributes(int fd, unsigned int flags, const struct mount_attr *attributes)
{
	return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, attributes,
			    sizeof(*attributes));
}

int op_propagation(const struct plan *plan, const struct nb_step *step)
{
	struct mount_attr attributes = { .propagation = step->num[0] };
	int root = open("/", O_PATH | O_CLOEXEC | O_DIRECTORY);
	int result;

	(void)plan;
	if (root < 0)
		return -1;
	result = set_attributes(root, AT_RECURSIVE, &attributes);
	close(root);
	return result;
}

static bool is_node(int fd, mode_t type, dev_t device)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return false;
	errno = ENODEV;
	return (info.st_mode & S_IFMT) == type && info.st_rdev == device;
}

int op_open_tree(const struct plan *plan, const struct nb_step *step)
{
	int base = step->num[1] == NB_SLOT_NONE ? AT_FDCWD : slots[step->num[1]];
	int fd = clone_tree(base, text(plan, step, 0), step->num[2] ? AT_RECURSIVE : 0);

	if (fd < 0)
		return -1;
	/* A node that was swapped since it was looked at is not bound (CVE-2025-31133). */
	if (step->num[3] && !is_node(fd, (mode_t)step->num[3], (dev_t)step->num[4])) {
		close(fd);
		return -1;
	}
	set_slot(step->num[0], fd);
	return 0;
}

/* Keeps what the file system said about its options, for the report. */
static void keep_message(int context)
{
	int error = errno;
	ssize_t n = read(context, report.message, sizeof(report.message) - 1);

	report.message[n > 0 ? n : 0] = '\0';
	errno = error;
}

/* A key with an empty value is a flag. */
static int configure(int context, const char *pairs, uint64_t count)
{
	for (uint64_t i = 0; i + 1 < count; i += 2) {
		const char *key = pairs;
		const char *value = key + strlen(key) + 1;
		unsigned int command = *value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

		if (syscall(SYS_fsconfig, context, command, key, *value ? value : NULL, 0) < 0)
			return -1;
		pairs = value + strlen(value) + 1;
	}
	return (int)syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

int op_new_fs(const struct plan *plan, const struct nb_step *step)
{
	int context = (int)syscall(SYS_fsopen, text(plan, step, 0), FSOPEN_CLOEXEC);
	int fd = -1;

	if (context < 0)
		return -1;
	if (configure(context, text(plan, step, 1), step->num[1]) == 0)
		fd = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
				  (unsigned int)step->num[2]);
	if (fd < 0)
		keep_message(context);
	close(context);
	if (fd < 0)
		return -1;
	set_slot(step->num[0], fd);
	return 0;
}

int op_set_attr(const struct plan *plan, const struct nb_step *step)
{
	struct mount_attr attributes = {
		.attr_set = step->num[1],
		.attr_clr = step->num[2],
		.propagation = step->num[3],
	};

	(void)plan;
	return set_attributes(slots[step->num[0]], step->num[4] ? AT_RECURSIVE : 0, &attributes);
}

int op_attach(const struct plan *plan, const struct nb_step *step)
{
	int mount = slots[step->num[0]];
	struct stat info;
	uint32_t mode = (uint32_t)step->num[2];
	int target, result;

	/* What is made as a target has the type of what will cover it. */
	if (fstat(mount, &info) < 0)
		return -1;
	mode |= S_ISDIR(info.st_mode) ? S_IFDIR : S_IFREG;
	target = open_target(slots[step->num[3]], text(plan, step, 0), step->num[1], mode);
	if (target < 0)
		return errno == ENOENT && (step->num[1] & NB_TARGET_OPTIONAL) ? 0 : -1;
	result = attach_at(mount, target);
	close(target);
	return result;
}

int op_attach_root(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	return (int)syscall(SYS_move_mount, slots[step->num[0]], "", AT_FDCWD, "/",
			    MOVE_MOUNT_F_EMPTY_PATH);
}

int op_keep_slot(const struct plan *plan, const struct nb_step *step)
{
	int fd = fcntl(slots[step->num[0]], F_DUPFD_CLOEXEC, 0);

	(void)plan;
	if (fd < 0)
		return -1;
	set_slot(step->num[1], fd);
	return 0;
}

int op_open_dir(const struct plan *plan, const struct nb_step *step)
{
	int fd = open(text(plan, step, 0), O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	set_slot(step->num[0], fd);
	return 0;
}

int op_fchdir(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	return fchdir(slots[step->num[0]]);
}

/* The identity of the mount that a path leads to. */
static int mount_id(int fd, const char *path, uint64_t *id)
{
	struct statx info;

	if (syscall(SYS_statx, fd, path, AT_EMPTY_PATH, STATX_MNT_ID, &info) < 0)
		return -1;
	*id = info.stx_mnt_id;
	return 0;
}

static int detach(int fd)
{
	return fchdir(fd) < 0 ? -1 : umount2(".", MNT_DETACH);
}

/*
 * The new root lies over the scratch file system, and that over the old root, so
 * no directory of the host has to be known to both. pivot_root(".", ".") puts the
 * old root over the new one. The scratch file system still lies over the old root
 * and would be what "." finds there, so it goes first.
 */
int op_pivot(const struct plan *plan, const struct nb_step *step)
{
	int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint64_t root = 0, above = 1;

	(void)plan;
	(void)step;
	if (old < 0)
		return -1;
	if (fchdir(slots[NB_SLOT_ROOT]) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return -1;
	if (detach(slots[NB_SLOT_SCRATCH]) < 0 || detach(old) < 0)
		return -1;
	close(old);
	/* ".." of the root crosses into whatever still lies over it. */
	if (mount_id(slots[NB_SLOT_ROOT], "", &root) < 0 || mount_id(AT_FDCWD, "/..", &above) < 0)
		return -1;
	if (root != above) {
		errno = EXDEV;
		return -1;
	}
	/* Every descriptor of the old tree ends here, long before any exec. */
	for (uint64_t i = 0; i < NB_SLOTS; i++)
		set_slot(i, -1);
	return chdir("/");
}

int op_chdir(const struct plan *plan, const struct nb_step *step)
{
	char path[4096];

	if (chdir(text(plan, step, 0)) < 0)
		return -1;
	/* A directory outside the root shows as "(unreachable)" (CVE-2024-21626). */
	if (syscall(SYS_getcwd, path, sizeof(path)) < 0)
		return -1;
	if (path[0] != '/') {
		errno = EXDEV;
		return -1;
	}
	return 0;
}
