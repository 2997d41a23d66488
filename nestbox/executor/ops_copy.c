/* Copying a tree into a file system of our own, by descriptor all the way. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "copy.h"
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

const struct extent whole = { .depth = COPY_DEPTH };

/* Neither a link nor a mount is followed. */
static int open_here(int directory, const char *name, int flags)
{
	struct open_how how = {
		.flags = (uint32_t)(flags | O_NOFOLLOW | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(SYS_openat2, directory, name, &how, sizeof(how));
}

int look(int fd, struct stat *info, const struct extent *extent)
{
	if (fstat(fd, info) < 0)
		return -1;
	if (extent->lenient && info->st_uid == NB_OVERFLOW_ID)
		info->st_uid = (uid_t)-1;
	if (extent->lenient && info->st_gid == NB_OVERFLOW_ID)
		info->st_gid = (gid_t)-1;
	return 0;
}

/* An id that is not mapped here cannot be given, and is no reason to copy nothing. */
int give(int directory, const char *name, const struct stat *info)
{
	if (fchownat(directory, name, info->st_uid, info->st_gid,
		     AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 &&
	    errno != EINVAL && errno != EPERM)
		return -1;
	return 0;
}

/* To overlayfs these say what is below: in a copy of what it showed they would be lies. */
static bool is_of_overlay(const char *name)
{
	static const char user[] = "user.overlay.", trusted[] = "trusted.overlay.";

	return !strncmp(name, user, sizeof(user) - 1) ||
	       !strncmp(name, trusted, sizeof(trusted) - 1);
}

/* What the new file system cannot hold is left out. */
static void copy_attributes(int from, int to, const struct extent *extent)
{
	static char names[NAMES_SIZE], value[VALUE_SIZE];
	ssize_t length = flistxattr(from, names, sizeof(names));

	for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, sizeof(value));

		if (is_of_overlay(name) || (extent->plain && !strcmp(name, "security.capability")))
			continue;
		if (size >= 0)
			fsetxattr(to, name, value, (size_t)size, 0);
	}
}

/* A set-id bit is worth what its owner is: in a file that could not be given to him it is ours. */
static int give_mode(int to, const struct stat *info, const struct extent *extent)
{
	mode_t mode = info->st_mode & COPY_MODE;
	struct stat copy;

	if (fstat(to, &copy) < 0)
		return -1;
	if (!S_ISDIR(info->st_mode)) {
		if (extent->plain || copy.st_uid != info->st_uid)
			mode &= ~(mode_t)S_ISUID;
		if (extent->plain || copy.st_gid != info->st_gid)
			mode &= ~(mode_t)S_ISGID;
	}
	return fchmod(to, mode);
}

/* Owner, then mode, which a change of the owner would clear bits of, then attributes. */
static int finish(int from, int to, const struct stat *info, const struct extent *extent)
{
	const struct timespec times[2] = { info->st_atim, info->st_mtim };

	if (give(to, "", info) < 0 || give_mode(to, info, extent) < 0)
		return -1;
	copy_attributes(from, to, extent);
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

/* Holes stay holes, and what grows meanwhile is copied as long as it was. */
static int copy_data(int from, int to, off_t size)
{
	off_t end, start = lseek(from, 0, SEEK_DATA);

	for (; start >= 0 && start < size; start = lseek(from, end, SEEK_DATA)) {
		end = lseek(from, start, SEEK_HOLE);
		if (end < 0 && errno == ENXIO) /* it was cut off meanwhile */
			break;
		if (end == start)
			errno = EIO; /* or a server that answers so would hold us for ever */
		if (end <= start || lseek(to, start, SEEK_SET) < 0)
			return -1;
		end = end < size ? end : size;
		for (off_t at = start; at < end;) {
			size_t left = (size_t)(end - at);
			ssize_t n = sendfile(to, from, &at, left < COPY_CHUNK ? left : COPY_CHUNK);

			if (n < 0)
				return -1;
			if (n == 0) /* it was cut off meanwhile */
				end = at = size;
		}
	}
	return start < 0 && errno != ENXIO ? -1 : ftruncate(to, size);
}

/* Where the file system can share the blocks of both (reflink) nothing is copied. */
static int copy_bytes(int from, int to, off_t size, const struct extent *extent)
{
	if (extent == &whole)
		return copy_content(from, to);
	return ioctl(to, FICLONE, from) == 0 ? 0 : copy_data(from, to, size);
}

/* Who looks at a tree while others work in it finds less than was listed. */
int left_out(const struct extent *extent)
{
	if (errno == ENOENT && extent != &whole)
		return 0;
	return extent->lenient && errno == EACCES ? 0 : -1;
}

static int copy_file(int from, int to, const char *name, const struct extent *extent)
{
	int source = open_here(from, name, O_RDONLY | O_NONBLOCK);
	int copy = -1;
	int result = -1;
	struct stat info;

	if (source < 0)
		return left_out(extent);
	if (look(source, &info, extent) == 0 && S_ISREG(info.st_mode)) {
		if (extent->limit && (uint64_t)info.st_size > extent->limit)
			result = 0;
		else
			copy = openat(to, name,
				      O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	if (copy >= 0) {
		if (copy_bytes(source, copy, info.st_size, extent) == 0)
			result = finish(source, copy, &info, extent);
		close(copy);
	}
	close(source);
	return result;
}

static int copy_link(int from, int to, const char *name, const struct stat *info,
		     const struct extent *extent)
{
	char value[NB_PATH_SIZE];
	ssize_t length = readlinkat(from, name, value, sizeof(value) - 1);

	if (length < 0)
		return left_out(extent);
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

/* Of a directory that may not be searched, or is not to be, what it looks like from outside. */
static int copy_empty(int to, const char *name, const struct stat *info)
{
	if (mkdirat(to, name, 0700) < 0 || give(to, name, info) < 0)
		return -1;
	return fchmodat(to, name, info->st_mode & COPY_MODE, 0);
}

static int copy_below(int from, int to, const char *name, int depth, const struct extent *extent)
{
	int source = open_here(from, name, O_RDONLY | O_DIRECTORY);
	int copy = -1;
	int result = -1;

	if (source < 0)
		return errno == ENOENT ? left_out(extent) : -1;
	if (mkdirat(to, name, 0700) == 0)
		copy = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (copy >= 0) {
		result = copy_directory(source, copy, depth + 1, extent);
		close(copy);
	}
	close(source);
	return result;
}

static int copy_inner(int from, int to, const char *name, const struct stat *info, int depth,
		      const struct extent *extent)
{
	if (extent->shallow)
		return copy_empty(to, name, info);
	if (copy_below(from, to, name, depth, extent) == 0)
		return 0;
	return errno == EACCES && extent->lenient ? copy_empty(to, name, info) : -1;
}

static int copy_entry(int from, int to, const char *name, int depth, const struct extent *extent)
{
	int entry = open_here(from, name, O_PATH);
	struct stat info;
	int result;

	if (entry < 0) /* another mount, which stays where it is */
		return errno == EXDEV ? 0 : left_out(extent);
	result = look(entry, &info, extent);
	close(entry);
	if (result < 0)
		return -1;
	if (S_ISDIR(info.st_mode))
		return copy_inner(from, to, name, &info, depth, extent);
	if (S_ISREG(info.st_mode))
		return copy_file(from, to, name, extent);
	if (S_ISLNK(info.st_mode))
		return copy_link(from, to, name, &info, extent);
	return extent == &whole ? copy_node(to, name, &info) : 0;
}

int copy_directory(int source, int copy, int depth, const struct extent *extent)
{
	char entries[ENTRIES_SIZE] __attribute__((aligned(8)));
	struct stat info;
	long n;

	if (depth > extent->depth) {
		errno = ELOOP;
		return -1;
	}
	if (look(source, &info, extent) < 0)
		return -1;
	while ((n = syscall(SYS_getdents64, source, entries, sizeof(entries))) > 0)
		for (long at = 0; at < n;) {
			const struct linux_dirent64 *entry = (const void *)(entries + at);

			at += entry->reclen;
			if (strcmp(entry->name, ".") && strcmp(entry->name, "..") &&
			    copy_entry(source, copy, entry->name, depth, extent) < 0)
				return -1;
		}
	/* Of an overlay a directory can be open, and what is in it closed to who made the overlay. */
	if (n < 0 && left_out(extent) < 0)
		return -1;
	/* The top of a new file system has what its options say. */
	return depth == 0 && extent == &whole ? 0 : finish(source, copy, &info, extent);
}
