/* Paths inside the container's root: found and made by descriptor, never by name alone. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum {
	PATH_SIZE = 4096,
	RACE_RETRIES = 64, /* openat2 gives EAGAIN when something is renamed meanwhile */
	TYPE_MASK = S_IFMT,
	PERMISSION_MASK = 07777,
};

int open_in_root(int root, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint32_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
	};
	int fd = -1;

	for (int i = 0; i < RACE_RETRIES; i++) {
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd;
}

static int make_missing(int parent, const char *name, uint32_t mode)
{
	int fd;

	if ((mode & TYPE_MASK) == S_IFDIR)
		return mkdirat(parent, name, mode & PERMISSION_MASK);
	fd = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
		    mode & PERMISSION_MASK);
	if (fd < 0)
		return -1;
	return close(fd);
}

/* Makes each missing component of path; each one is made in a directory that is open. */
static int make_path(int root, const char *path, uint64_t resolve, uint32_t mode)
{
	char prefix[PATH_SIZE];
	size_t length = strlen(path);
	size_t start = 0;
	int parent;

	if (length >= sizeof(prefix)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	parent = open_in_root(root, "/", O_PATH | O_DIRECTORY, 0);
	if (parent < 0)
		return -1;
	memcpy(prefix, path, length + 1);
	while (start < length) {
		size_t end = start + strcspn(prefix + start, "/");
		bool last = prefix[end + strspn(prefix + end, "/")] == '\0';
		int next;

		if (end > start) {
			prefix[end] = '\0';
			next = open_in_root(root, prefix, O_PATH, resolve);
			if (next < 0 && errno == ENOENT &&
			    make_missing(parent, prefix + start, last ? mode : S_IFDIR | 0755) == 0)
				next = open_in_root(root, prefix, O_PATH, resolve);
			close(parent);
			if (next < 0)
				return -1;
			parent = next;
			prefix[end] = path[end];
		}
		start = end + 1;
	}
	close(parent);
	return 0;
}

int open_target(int root, const char *path, uint64_t how, uint32_t mode)
{
	uint64_t resolve = how & NB_TARGET_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0;
	int type = (mode & TYPE_MASK) == S_IFDIR ? O_DIRECTORY : 0;
	int fd = open_in_root(root, path, O_PATH | type, resolve);
	struct statfs info;

	if (fd < 0 && errno == ENOENT && (how & NB_TARGET_MAKE)) {
		if (make_path(root, path, resolve, mode) < 0)
			return -1;
		fd = open_in_root(root, path, O_PATH | type, resolve);
	}
	if (fd < 0 || (how & NB_TARGET_ON_PROC))
		return fd;
	/* A link in the root may lead to /proc, where a mount would hide what the kernel says. */
	if (fstatfs(fd, &info) < 0 || info.f_type == PROC_SUPER_MAGIC) {
		close(fd);
		errno = EXDEV;
		return -1;
	}
	return fd;
}

int op_make_dirs(const struct plan *plan, const struct nb_step *step)
{
	/* Nothing is attached to it, so one on a proc file system is as good as any. */
	int fd = open_target(slots[NB_SLOT_ROOT], text(plan, step, 0),
			     NB_TARGET_MAKE | NB_TARGET_ON_PROC,
			     S_IFDIR | (uint32_t)(step->num[0] & PERMISSION_MASK));

	if (fd < 0)
		return -1;
	return close(fd);
}

/* A name is one component: what is made below a slot stays directly below it. */
static bool is_name(const char *name)
{
	if (*name != '\0' && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."))
		return true;
	errno = EINVAL;
	return false;
}

int op_mkdir(const struct plan *plan, const struct nb_step *step)
{
	const char *name = text(plan, step, 0);

	if (!is_name(name) || mkdirat(slots[step->num[0]], name, 0700) < 0)
		return -1;
	return fchmodat(slots[step->num[0]], name, (mode_t)step->num[1] & PERMISSION_MASK, 0);
}

int op_make_file(const struct plan *plan, const struct nb_step *step)
{
	const char *content = text(plan, step, 1);
	size_t length = strlen(content);
	int fd;

	if (!is_name(text(plan, step, 0)))
		return -1;
	fd = openat(slots[step->num[0]], text(plan, step, 0),
		    O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (write(fd, content, length) != (ssize_t)length ||
	    fchmod(fd, (mode_t)step->num[1] & PERMISSION_MASK) < 0) {
		close(fd);
		return -1;
	}
	return close(fd);
}

static int protect(int tree, uint64_t attributes, uint64_t propagation)
{
	struct mount_attr change = { .attr_set = attributes, .propagation = propagation };

	return (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &change,
			    sizeof(change));
}

/* Covers a file with the null device and a directory with an empty one. */
int op_mask(const struct plan *plan, const struct nb_step *step)
{
	int target = open_in_root(slots[step->num[2]], text(plan, step, 0), O_PATH, 0);
	struct stat info;
	int cover = -1;
	int result = -1;

	if (target < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	if (fstat(target, &info) == 0)
		cover = S_ISDIR(info.st_mode) ? clone_tree(slots[step->num[1]], "empty", 0) :
						clone_tree(slots[step->num[0]], "", 0);
	if (cover >= 0) {
		/* Private, so that nothing which is mounted over the outer node comes in over it. */
		if (protect(cover, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
			    MS_PRIVATE) == 0)
			result = attach_at(cover, target);
		close(cover);
	}
	close(target);
	return result;
}

int op_readonly(const struct plan *plan, const struct nb_step *step)
{
	int target = open_in_root(slots[step->num[0]], text(plan, step, 0), O_PATH, 0);
	int copy;
	int result = -1;

	if (target < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	copy = clone_tree(target, "", AT_RECURSIVE);
	if (copy >= 0) {
		if (protect(copy, MOUNT_ATTR_RDONLY, 0) == 0)
			result = attach_at(copy, target);
		close(copy);
	}
	close(target);
	return result;
}

int op_device(const struct plan *plan, const struct nb_step *step)
{
	const char *name = text(plan, step, 0);
	int base = slots[step->num[0]];
	mode_t mode = (mode_t)step->num[1];

	if (!is_name(name) || mknodat(base, name, mode, (dev_t)step->num[2]) < 0)
		return -1;
	if (fchownat(base, name, (uid_t)step->num[3], (gid_t)step->num[4], AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return fchmodat(base, name, mode & PERMISSION_MASK, 0);
}

int op_symlink(const struct plan *plan, const struct nb_step *step)
{
	if (!is_name(text(plan, step, 0)))
		return -1;
	return symlinkat(text(plan, step, 1), slots[step->num[0]], text(plan, step, 0));
}
