/* Filling a new tmpfs with what is in the place that it will cover, by descriptor all the way. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum {
	COPY_DEPTH = 64,
	ENTRIES_SIZE = 4096,
	NAMES_SIZE = 4096,
	VALUE_SIZE = 65536, /* XATTR_SIZE_MAX of linux/limits.h */
	COPY_CHUNK = 1 << 30,
	COPY_MODE = 07777,
};

struct linux_dirent64 {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

/* Neither a link nor a mount is followed. */
static int open_here(int directory, const char *name, int flags)
{
	struct open_how how = {
		.flags = (uint32_t)(flags | O_NOFOLLOW | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(SYS_openat2, directory, name, &how, sizeof(how));
}

/* An id that is not mapped here cannot be given, and is no reason to copy nothing. */
static int give(int directory, const char *name, const struct stat *info)
{
	if (fchownat(directory, name, info->st_uid, info->st_gid,
		     AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno != EINVAL && errno != EPERM)
		return -1;
	return 0;
}

/* What the new file system cannot hold is left out. */
static void copy_attributes(int from, int to)
{
	static char names[NAMES_SIZE], value[VALUE_SIZE];
	ssize_t length = flistxattr(from, names, sizeof(names));

	for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, sizeof(value));

		if (size >= 0)
			fsetxattr(to, name, value, (size_t)size, 0);
	}
}

/* Owner, then mode, which a change of the owner would clear bits of, then attributes. */
static int finish(int from, int to, const struct stat *info)
{
	const struct timespec times[2] = { info->st_atim, info->st_mtim };

	if (give(to, "", info) < 0 || fchmod(to, info->st_mode & COPY_MODE) < 0)
		return -1;
	copy_attributes(from, to);
	return futimens(to, times);
}

static int copy_content(int from, int to)
{
	ssize_t n;

	do
		n = sendfile(to, from, NULL, COPY_CHUNK);
	while (n > 0);
	return (int)n;
}

static int copy_file(int from, int to, const char *name)
{
	int source = open_here(from, name, O_RDONLY | O_NONBLOCK);
	int copy = -1;
	int result = -1;
	struct stat info;

	if (source < 0)
		return -1;
	if (fstat(source, &info) == 0 && S_ISREG(info.st_mode))
		copy = openat(to, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (copy >= 0) {
		if (copy_content(source, copy) == 0)
			result = finish(source, copy, &info);
		close(copy);
	}
	close(source);
	return result;
}

static int copy_link(int from, int to, const char *name, const struct stat *info)
{
	char value[NB_PATH_SIZE];
	ssize_t length = readlinkat(from, name, value, sizeof(value) - 1);

	if (length < 0)
		return -1;
	value[length] = '\0';
	return symlinkat(value, to, name) < 0 ? -1 : give(to, name, info);
}

/* A device that may not be made is left out: it could not be opened either. */
static int copy_node(int to, const char *name, const struct stat *info)
{
	if (mknodat(to, name, info->st_mode, info->st_rdev) < 0)
		return errno == EPERM ? 0 : -1;
	return give(to, name, info);
}

static int copy_directory(int source, int copy, int depth);

static int copy_below(int from, int to, const char *name, int depth)
{
	int source = open_here(from, name, O_RDONLY | O_DIRECTORY);
	int copy = -1;
	int result = -1;

	if (source < 0)
		return -1;
	if (mkdirat(to, name, 0700) == 0)
		copy = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (copy >= 0) {
		result = copy_directory(source, copy, depth + 1);
		close(copy);
	}
	close(source);
	return result;
}

static int copy_entry(int from, int to, const char *name, int depth)
{
	int entry = open_here(from, name, O_PATH);
	struct stat info;
	int result;

	if (entry < 0)
		return errno == EXDEV ? 0 : -1; /* another mount, which stays where it is */
	result = fstat(entry, &info);
	close(entry);
	if (result < 0)
		return -1;
	if (S_ISDIR(info.st_mode))
		return copy_below(from, to, name, depth);
	if (S_ISREG(info.st_mode))
		return copy_file(from, to, name);
	if (S_ISLNK(info.st_mode))
		return copy_link(from, to, name, &info);
	return copy_node(to, name, &info);
}

static int copy_directory(int source, int copy, int depth)
{
	char entries[ENTRIES_SIZE] __attribute__((aligned(8)));
	struct stat info;
	long n;

	if (depth > COPY_DEPTH) {
		errno = ELOOP;
		return -1;
	}
	if (fstat(source, &info) < 0)
		return -1;
	while ((n = syscall(SYS_getdents64, source, entries, sizeof(entries))) > 0)
		for (long at = 0; at < n;) {
			const struct linux_dirent64 *entry = (const void *)(entries + at);

			at += entry->reclen;
			if (strcmp(entry->name, ".") && strcmp(entry->name, "..") &&
			    copy_entry(source, copy, entry->name, depth) < 0)
				return -1;
		}
	if (n < 0)
		return -1;
	/* The top has what the options of its file system say. */
	return depth == 0 ? 0 : finish(source, copy, &info);
}

int op_copy_up(const struct plan *plan, const struct nb_step *step)
{
	int source =
		open_in_root(slots[step->num[1]], text(plan, step, 0), O_RDONLY | O_DIRECTORY, 0);
	int copy, result = -1;

	if (source < 0)
		return errno == ENOENT ? 0 : -1;
	copy = openat(slots[step->num[0]], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (copy >= 0) {
		result = copy_directory(source, copy, 0);
		close(copy);
	}
	close(source);
	return result;
}
