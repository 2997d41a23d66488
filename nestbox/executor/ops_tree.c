/* The operations that fill a file system of our own with a copy. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy.h"
#include "init.h"
#include "syscalls.h"

enum {
	TREE_DEPTH = 256,
	TREE_MODE = 07777,
};

/* A directory of the outer tree, of whose path no component may have become a link. */
static int open_source(const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint32_t)(flags | O_DIRECTORY | O_CLOEXEC),
		.resolve = RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
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
		result = copy_directory(source, copy, 0, &whole);
		close(copy);
	}
	close(source);
	return result;
}

/* Owner and mode of a directory that may not be read; the copy stays empty. */
static int copy_outside(const char *path, int copy, const struct extent *extent)
{
	int source = open_source(path, O_PATH);
	struct stat info;
	int result = -1;

	if (source < 0)
		return left_out(extent);
	if (look(source, &info, extent) == 0 && give(copy, "", &info) == 0)
		result = fchmod(copy, info.st_mode & TREE_MODE);
	close(source);
	return result;
}

/* Opens the copy of a directory, below the root, which is made with all above it that miss. */
static int open_copy(const char *target)
{
	int found = open_target(slots[NB_SLOT_ROOT], target, NB_TARGET_MAKE | NB_TARGET_NO_SYMLINKS,
				S_IFDIR | 0755);
	int copy;

	if (found < 0)
		return -1;
	copy = openat(found, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(found);
	return copy;
}

int op_copy_tree(const struct plan *plan, const struct nb_step *step)
{
	const struct extent extent = {
		.depth = TREE_DEPTH,
		.shallow = step->num[0] & NB_COPY_SHALLOW,
		.lenient = step->num[0] & NB_COPY_LENIENT,
		.plain = step->num[0] & NB_COPY_PLAIN,
		.limit = step->num[1],
	};
	const char *path = text(plan, step, 0);
	int copy = open_copy(text(plan, step, 1));
	int source, result;

	if (copy < 0)
		return -1;
	/* The copy of what is above may have made it, closed to us who have no CAP_DAC_OVERRIDE. */
	if (fchmod(copy, S_IRWXU) < 0 && errno != EPERM) {
		close(copy);
		return -1;
	}
	source = open_source(path, O_RDONLY);
	if (source >= 0) {
		result = copy_directory(source, copy, 0, &extent);
		close(source);
	} else {
		result = errno == EACCES ? copy_outside(path, copy, &extent) : left_out(&extent);
	}
	close(copy);
	return result;
}
