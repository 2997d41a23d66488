/* Becoming the container's root: the steps around the change of /. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum { PARENTS_LIMIT = 4096 }; /* more than a path has components */

static int set_propagation(int fd, unsigned int flags, uint64_t propagation)
{
	struct mount_attr change = { .propagation = propagation };

	return change_mount(&fd, true, flags, &change);
}

static int statx_of(int fd, const char *path, struct statx *info)
{
	return (int)syscall(SYS_statx, fd, path, AT_EMPTY_PATH, STATX_MNT_ID, info);
}

/* Replaces a directory that is open by the one above it. */
static int open_above(int fd)
{
	int above = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int error = errno;

	close(fd);
	errno = error;
	return above;
}

/* What is attached to a shared mount appears in every other namespace that shares it. */
int op_private_parent(const struct plan *plan, const struct nb_step *step)
{
	int fd = open(text(plan, step, 0), O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statx info = { 0 };
	int result = -1;

	for (int i = 0; i < PARENTS_LIMIT && fd >= 0; i++) {
		if (statx_of(fd, "", &info) < 0)
			break;
		if (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
			result = set_propagation(fd, 0, MS_PRIVATE);
			break;
		}
		fd = open_above(fd);
	}
	if (fd >= 0)
		close(fd);
	return result;
}

/* A full proc or sysfs of the host must not be in reach of a root that is only moved over /. */
int op_uncover(const struct plan *plan, const struct nb_step *step)
{
	const char *path = text(plan, step, 0);
	int target, cover, result = -1;

	if (!step->num[1]) {
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == ENOENT)
			return 0;
		if (errno != EINVAL && errno != EPERM)
			return -1;
	}
	target = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (target < 0)
		return errno == ENOENT ? 0 : -1;
	cover = clone_tree(slots[step->num[0]], "empty", 0);
	/* Not shared any more, or the cover would come up outside too. */
	if (cover >= 0 && set_propagation(target, 0, MS_SLAVE) == 0)
		result = attach_at(cover, target);
	if (cover >= 0)
		close(cover);
	close(target);
	return result;
}

/* The identity of the mount that a path leads to. */
static int mount_id(int fd, const char *path, uint64_t *id)
{
	struct statx info;

	if (statx_of(fd, path, &info) < 0)
		return -1;
	*id = info.stx_mnt_id;
	return 0;
}

static int detach(int fd)
{
	return fchdir(fd) < 0 ? -1 : umount2(".", MNT_DETACH);
}

/* Every descriptor of the old tree ends here, long before any exec. */
static void forget_old_tree(void)
{
	for (uint64_t i = 0; i < NB_SLOTS; i++)
		if (i != NB_SLOT_OWN_PROC)
			set_slot(i, -1);
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
	/* What is unmounted in a shared tree would be unmounted outside too. */
	if (set_propagation(old, AT_RECURSIVE, MS_SLAVE) < 0)
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
	forget_old_tree();
	return chdir("/");
}

/* Where the present / cannot be pivoted, as that of an initramfs, or is to stay. */
int op_chroot(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	if (fchdir(slots[NB_SLOT_ROOT]) < 0)
		return -1;
	if (step->num[0] && syscall(SYS_move_mount, slots[NB_SLOT_ROOT], "", AT_FDCWD, "/",
				    MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -1;
	if (chroot(".") < 0)
		return -1;
	forget_old_tree();
	return chdir("/");
}

int op_chdir(const struct plan *plan, const struct nb_step *step)
{
	static bool postponed;
	char path[NB_PATH_SIZE];

	if (step->num[0] == NB_CHDIR_POSTPONED && !postponed)
		return 0;
	if (chdir(text(plan, step, 0)) < 0) {
		postponed = step->num[0] == NB_CHDIR_IF_ALLOWED && errno == EACCES;
		return postponed ? 0 : -1;
	}
	/* A directory outside the root shows as "(unreachable)" (CVE-2024-21626). */
	if (syscall(SYS_getcwd, path, sizeof(path)) < 0)
		return -1;
	if (path[0] != '/') {
		errno = EXDEV;
		return -1;
	}
	return 0;
}
