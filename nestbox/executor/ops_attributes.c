/*
 * Attributes and propagation of mounts. mount_setattr(2) changes them by descriptor, also while
 * nobody can see the mount. Before Linux 5.12 there is only mount(2), for what is attached in our
 * own mount namespace: a plan for such a kernel says so (NB_OP_OLD_MOUNTS), and a detached tree is
 * attached in the scratch file system, changed there, and copied as a detached tree again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum {
	TREE_LIMIT = 4096, /* mounts of one tree */
	ESCAPE = 4, /* of mountinfo: \040 */
	/* Of statfs(2): they have other values than the flags of mount(2). */
	SHOWN_NOATIME = 0x400,
	SHOWN_NODIRATIME = 0x800,
	SHOWN_RELATIME = 0x1000,
	SHOWN_NOSYMFOLLOW = 0x2000,
};

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000 /* Linux 5.14 */
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* Linux 5.10 */
#endif

static bool old_mounts;

int op_old_mounts(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	(void)step;
	old_mounts = true;
	return 0;
}

/* The attributes that a mount has, as those of mount_setattr(2). */
static uint64_t attributes_of(uint64_t shown)
{
	uint64_t found = shown & (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				  MOUNT_ATTR_NOEXEC);

	if (shown & SHOWN_NOATIME)
		found |= MOUNT_ATTR_NOATIME;
	else if (!(shown & SHOWN_RELATIME))
		found |= MOUNT_ATTR_STRICTATIME;
	if (shown & SHOWN_NODIRATIME)
		found |= MOUNT_ATTR_NODIRATIME;
	if (shown & SHOWN_NOSYMFOLLOW)
		found |= MOUNT_ATTR_NOSYMFOLLOW;
	return found;
}

/* Attributes as flags of mount(2), of which a remount takes all or none about times of access. */
static unsigned long flags_of(uint64_t attributes)
{
	unsigned long flags = attributes & (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
					    MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

	if ((attributes & MOUNT_ATTR__ATIME) == MOUNT_ATTR_NOATIME)
		flags |= MS_NOATIME;
	else if ((attributes & MOUNT_ATTR__ATIME) == MOUNT_ATTR_STRICTATIME)
		flags |= MS_STRICTATIME;
	else
		flags |= MS_RELATIME;
	if (attributes & MOUNT_ATTR_NODIRATIME)
		flags |= MS_NODIRATIME;
	if (attributes & MOUNT_ATTR_NOSYMFOLLOW)
		flags |= MS_NOSYMFOLLOW;
	return flags;
}

/* A remount replaces every flag of a mount, so those that stay are said again. */
static int remount(const char *path, const struct mount_attr *change)
{
	struct statfs info;
	uint64_t attributes;

	if (statfs(path, &info) < 0)
		return -1;
	attributes = (attributes_of((uint64_t)info.f_flags) & ~change->attr_clr) | change->attr_set;
	return (int)syscall(SYS_mount, NULL, path, NULL,
			    MS_REMOUNT | MS_BIND | flags_of(attributes), NULL);
}

/* One line of /proc/PID/mountinfo; the path is cut off and its escapes are undone, in place. */
struct line {
	unsigned long id, parent;
	char *path;
};

static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (text[0] == '\\' && strlen(text) >= ESCAPE) {
			*to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 +
				       (text[3] - '0'));
			text += ESCAPE - 1;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* ID PARENT MAJOR:MINOR ROOT PATH ... Source: proc(5). */
static bool parse_line(char *text, struct line *line)
{
	char *end;

	line->id = strtoul(text, &end, 10);
	line->parent = strtoul(end, &end, 10);
	for (int i = 0; i < 2 && end; i++)
		end = strchr(end + 1, ' ');
	if (!end)
		return false;
	line->path = end + 1;
	end = strchr(line->path, ' ');
	if (!end)
		return false;
	*end = '\0';
	unescape(line->path);
	return true;
}

/* What is mounted below a mount, found from above: a parent is listed before its children. */
struct tree {
	const char *name; /* of the mount, in the working directory */
	const struct mount_attr *change;
	size_t skipped; /* how much of the listed paths the name stands for */
	size_t count;
	unsigned long ids[TREE_LIMIT];
};

static bool is_in(const struct tree *tree, unsigned long id)
{
	for (size_t i = 0; i < tree->count; i++)
		if (tree->ids[i] == id)
			return true;
	return false;
}

static int change_line(struct tree *tree, const struct line *line)
{
	char path[NB_PATH_SIZE];
	size_t length = strlen(tree->name);

	if (line->id == tree->ids[0]) {
		tree->skipped = strlen(line->path);
		return 0;
	}
	if (!is_in(tree, line->parent))
		return 0;
	if (tree->count == TREE_LIMIT || length + strlen(line->path) >= sizeof(path)) {
		errno = E2BIG;
		return -1;
	}
	tree->ids[tree->count++] = line->id;
	memcpy(path, tree->name, length + 1);
	if (strlen(line->path) > tree->skipped)
		strcpy(path + length, line->path + tree->skipped);
	return remount(path, tree->change);
}

/* Gives each whole line in text away; returns how much of it that was, or -1. */
static ssize_t change_lines(struct tree *tree, char *text)
{
	char *start = text, *end;
	struct line line;

	while ((end = strchr(start, '\n'))) {
		*end = '\0';
		if (!parse_line(start, &line)) {
			errno = EBADMSG;
			return -1;
		}
		if (change_line(tree, &line) < 0)
			return -1;
		start = end + 1;
	}
	return start - text;
}

static int change_below(const char *name, const struct mount_attr *change)
{
	static struct tree tree;
	static char text[NB_PATH_SIZE * 4];
	struct statx info;
	size_t held = 0;
	ssize_t n = 1;
	int file;

	if (syscall(SYS_statx, AT_FDCWD, name, 0, STATX_MNT_ID, &info) < 0)
		return -1;
	tree = (struct tree){ .name = name, .change = change, .count = 1 };
	tree.ids[0] = info.stx_mnt_id;
	file = open("/proc/thread-self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return -1;
	while (n > 0 && held < sizeof(text) - 1) {
		n = read(file, text + held, sizeof(text) - 1 - held);
		if (n <= 0)
			break;
		held += (size_t)n;
		text[held] = '\0';
		n = change_lines(&tree, text);
		if (n < 0)
			break;
		held -= (size_t)n;
		memmove(text, text + n, held);
		n = 1;
	}
	close(file);
	if (n > 0)
		errno = ENAMETOOLONG;
	return n == 0 ? 0 : -1;
}

/* Changes the mount at a name in the working directory. */
static int change_at(const char *name, unsigned int flags, const struct mount_attr *change)
{
	unsigned long recursive = flags & AT_RECURSIVE ? MS_REC : 0;

	if (change->attr_set | change->attr_clr) {
		if (remount(name, change) < 0)
			return -1;
		if (recursive && change_below(name, change) < 0)
			return -1;
	}
	if (!change->propagation)
		return 0;
	return (int)syscall(SYS_mount, NULL, name, NULL, change->propagation | recursive, NULL);
}

/* Attached here it is seen by nobody else: the scratch file system is private. */
static int change_in(int place, int *tree, unsigned int flags, const struct mount_attr *change)
{
	struct stat info;
	const char *name = "stage";
	int copy = -1, error;

	if (fstat(*tree, &info) < 0)
		return -1;
	if (S_ISDIR(info.st_mode)) {
		if (mkdirat(place, name, 0700) < 0 && errno != EEXIST)
			return -1;
	} else {
		name = "stagefile";
		if (mknodat(place, name, S_IFREG | 0600, 0) < 0 && errno != EEXIST)
			return -1;
	}
	if (fchdir(place) < 0 ||
	    syscall(SYS_move_mount, *tree, "", place, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -1;
	if (change_at(name, flags, change) == 0)
		copy = clone_tree(place, name, AT_RECURSIVE);
	error = errno;
	/* Not shared any more, or what is below would be unmounted in the copy too. */
	syscall(SYS_mount, NULL, name, NULL, MS_REC | MS_PRIVATE, NULL);
	umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW);
	errno = error;
	if (copy < 0)
		return -1;
	close(*tree);
	*tree = copy;
	return 0;
}

/* Steps rely on the working directory that an earlier one entered. */
static int change_by_name(int *mount, bool attached, unsigned int flags,
			  const struct mount_attr *change)
{
	int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int result = -1, error;

	if (before < 0)
		return -1;
	if (!attached)
		result = change_in(slots[NB_SLOT_SCRATCH], mount, flags, change);
	else if (fchdir(*mount) == 0)
		result = change_at(".", flags, change);
	error = errno;
	if (fchdir(before) < 0)
		result = -1;
	else
		errno = error;
	close(before);
	return result;
}

int change_mount(int *mount, bool attached, unsigned int flags, const struct mount_attr *change)
{
	if (old_mounts)
		return change_by_name(mount, attached, flags, change);
	return (int)syscall(SYS_mount_setattr, *mount, "", AT_EMPTY_PATH | flags, change,
			    sizeof(*change));
}
