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
	DEPTH_LIMIT = 128, /* of what is missing on the way to a target */
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

/* The first inode of proc and devpts has number 1, and no other directory of theirs has it. */
int open_root_of(const char *path, uint64_t magic)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs system;
	struct stat info;

	if (fd < 0 || !magic)
		return fd;
	if (fstatfs(fd, &system) == 0 && (uint64_t)system.f_type == magic &&
	    fstat(fd, &info) == 0 && info.st_ino == 1)
		return fd;
	close(fd);
	errno = EXDEV;
	return -1;
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

/* Cuts path into the directory and the last component, without slashes at its end. */
static int split_path(const char *path, char *directory, const char **name)
{
	size_t end = strlen(path), start;

	while (end > 1 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/'; start--)
		;
	if (end >= NB_PATH_SIZE - 1) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(directory, path, start);
	directory[start] = '\0';
	memcpy(directory + start + 1, path + start, end - start);
	directory[end + 1] = '\0';
	*name = directory + start + 1;
	return 0;
}

static int make_target(int root, const char *path, uint64_t resolve, uint32_t mode, int depth);

/* A link that leads nowhere yet is no target: what it names is made, inside the root as ever. */
static int make_behind_link(int root, int parent, const char *directory, const char *name,
			    uint32_t mode, int depth)
{
	char link[NB_PATH_SIZE], path[NB_PATH_SIZE * 2];
	ssize_t length = readlinkat(parent, name, link, sizeof(link) - 1);
	size_t used;

	if (length < 0) {
		errno = EEXIST; /* no link: something else came in between */
		return -1;
	}
	link[length] = '\0';
	used = link[0] == '/' ? 0 : strlen(directory);
	memcpy(path, directory, used);
	memcpy(path + used, link, (size_t)length + 1);
	return make_target(root, path, 0, mode, depth + 1);
}

/* Makes what is missing of a path; each component in a directory that is open. */
static int make_target(int root, const char *path, uint64_t resolve, uint32_t mode, int depth)
{
	char directory[NB_PATH_SIZE];
	const char *name;
	int parent, result;

	if (depth > DEPTH_LIMIT) {
		errno = ELOOP;
		return -1;
	}
	if (split_path(path, directory, &name) < 0)
		return -1;
	parent = open_in_root(root, *directory ? directory : "/", O_PATH | O_DIRECTORY, resolve);
	if (parent < 0 && errno == ENOENT &&
	    make_target(root, directory, resolve, S_IFDIR | 0755, depth + 1) == 0)
		parent = open_in_root(root, directory, O_PATH | O_DIRECTORY, resolve);
	if (parent < 0)
		return -1;
	result = make_missing(parent, name, mode);
	if (result < 0 && errno == EEXIST && !(resolve & RESOLVE_NO_SYMLINKS))
		result = make_behind_link(root, parent, directory, name, mode, depth);
	close(parent);
	return result;
}

/*
 * Makes a name directly below an open directory and opens it, which is all that a
 * target in a file system of our own needs; -1 when the name is taken.
 */
static int make_fresh(int parent, const char *name, uint32_t mode)
{
	if ((mode & TYPE_MASK) == S_IFREG)
		return openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC,
			      mode & PERMISSION_MASK);
	if (mkdirat(parent, name, mode & PERMISSION_MASK) < 0)
		return -1;
	return openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int open_target(int root, const char *path, uint64_t how, uint32_t mode)
{
	uint64_t resolve = how & NB_TARGET_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0;
	int type = (mode & TYPE_MASK) == S_IFDIR ? O_DIRECTORY : 0;
	const char *name = path + strspn(path, "/");
	struct statfs info;
	int fd = -1;

	if (root == slots[NB_SLOT_DEV] && (how & NB_TARGET_MAKE) && *name && !strchr(name, '/'))
		fd = make_fresh(root, name, mode);
	if (fd < 0)
		fd = open_in_root(root, path, O_PATH | type, resolve);
	if (fd < 0 && errno == ENOENT && (how & NB_TARGET_MAKE)) {
		if (make_target(root, path, resolve, mode, 0) < 0)
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

/* A name is one component: what is made below a slot stays directly below it. */
bool is_name(const char *name)
{
	if (*name != '\0' && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."))
		return true;
	errno = EINVAL;
	return false;
}

int open_parent(int base, const char *path, uint64_t how, char *buffer, const char **name)
{
	path += strspn(path, "/");
	if (split_path(path, buffer, name) < 0 || !is_name(*name))
		return -1;
	if (!*buffer) {
		errno = EBADF;
		return base;
	}
	return open_target(base, buffer, how | NB_TARGET_MAKE, S_IFDIR | 0755);
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

/* An owner that is not mapped here cannot be given: then it stays ours. */
static int make_like(int parent, const char *name, const struct stat *info)
{
	if (fchownat(parent, name, info->st_uid, info->st_gid, AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno != EINVAL && errno != EPERM)
		return -1;
	return fchmodat(parent, name, info->st_mode & PERMISSION_MASK, 0);
}

int op_mkdir(const struct plan *plan, const struct nb_step *step)
{
	const char *name = text(plan, step, 0), *model = text(plan, step, 1);
	int parent = slots[step->num[0]];
	struct stat info;

	if (!is_name(name) || mkdirat(parent, name, 0700) < 0)
		return -1;
	if (!*model)
		return fchmodat(parent, name, (mode_t)step->num[1] & PERMISSION_MASK, 0);
	if (lstat(model, &info) < 0)
		return -1;
	if (step->num[2] && info.st_uid == NB_OVERFLOW_ID)
		info.st_uid = (uid_t)-1;
	if (step->num[2] && info.st_gid == NB_OVERFLOW_ID)
		info.st_gid = (gid_t)-1;
	return make_like(parent, name, &info);
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

static int protect(int *tree, uint64_t attributes, uint64_t propagation)
{
	struct mount_attr change = { .attr_set = attributes, .propagation = propagation };

	return change_mount(tree, false, AT_RECURSIVE, &change);
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
		if (protect(&cover, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
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
		if (protect(&copy, MOUNT_ATTR_RDONLY, 0) == 0)
			result = attach_at(copy, target);
		close(copy);
	}
	close(target);
	return result;
}
