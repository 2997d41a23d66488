/* Mounts: made detached, changed while nobody can see them, then attached by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
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

int op_propagation(const struct plan *plan, const struct nb_step *step)
{
	struct mount_attr attributes = { .propagation = step->num[0] };
	int root = open("/", O_PATH | O_CLOEXEC | O_DIRECTORY);
	int result;

	(void)plan;
	if (root < 0)
		return -1;
	result = change_mount(&root, true, step->num[1] ? AT_RECURSIVE : 0, &attributes);
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

/* Of a path that was looked at before, whose owner may have put a link into it since. */
static int clone_straight(int base, const char *path, unsigned int flags)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	int place = (int)syscall(SYS_openat2, base, path, &how, sizeof(how));
	struct stat info;
	int fd = -1;

	if (place < 0)
		return -1;
	if (fstat(place, &info) == 0 && S_ISLNK(info.st_mode))
		errno = ELOOP;
	else
		fd = clone_tree(place, "", flags);
	close(place);
	return fd;
}

int op_open_tree(const struct plan *plan, const struct nb_step *step)
{
	int base = step->num[1] == NB_SLOT_NONE ? AT_FDCWD : slots[step->num[1]];
	unsigned int flags = step->num[2] ? AT_RECURSIVE : 0;
	int fd = step->num[5] ? clone_straight(base, text(plan, step, 0), flags) :
				clone_tree(base, text(plan, step, 0), flags);

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
	return 0;
}

static int finish_context(int context, unsigned int command)
{
	return (int)syscall(SYS_fsconfig, context, command, NULL, NULL, 0);
}

/* The mode of the directory that will be covered, where there is one already, as an option. */
static int configure_mode(int context, int root, const char *target)
{
	int fd = *target ? open_in_root(root, target, O_PATH | O_DIRECTORY, 0) : -1;
	char digits[] = "0000";
	struct stat info;
	int result;

	if (fd < 0)
		return !*target || errno == ENOENT ? 0 : -1;
	result = fstat(fd, &info);
	close(fd);
	if (result < 0)
		return -1;
	for (int i = 3; i >= 0; i--, info.st_mode >>= 3)
		digits[i] = (char)('0' + (info.st_mode & 7));
	return (int)syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "mode", digits, 0);
}

int op_new_fs(const struct plan *plan, const struct nb_step *step)
{
	int context = (int)syscall(SYS_fsopen, text(plan, step, 0), FSOPEN_CLOEXEC);
	int base = step->num[3] == NB_SLOT_NONE ? -1 : slots[step->num[3]];
	int fd = -1;

	if (context < 0)
		return -1;
	if (configure(context, text(plan, step, 1), step->num[1]) == 0 &&
	    configure_mode(context, base, text(plan, step, 2)) == 0 &&
	    finish_context(context, FSCONFIG_CMD_CREATE) == 0)
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

/*
 * Strings of fsconfig(2) end at 256 bytes. What is longer is mounted by name where
 * nobody else comes to, copied as a detached mount, and unmounted there.
 */
int op_old_fs(const struct plan *plan, const struct nb_step *step)
{
	int place = slots[step->num[2]];
	int fd, error;

	if (fchdir(place) < 0 || (mkdirat(place, "old", 0700) < 0 && errno != EEXIST))
		return -1;
	if (syscall(SYS_mount, text(plan, step, 1), "old", text(plan, step, 0), step->num[1],
		    text(plan, step, 2)) < 0)
		return -1;
	fd = clone_tree(place, "old", 0);
	error = errno;
	umount2("old", MNT_DETACH);
	errno = error;
	if (fd < 0)
		return -1;
	set_slot(step->num[0], fd);
	return 0;
}

int op_reconfigure(const struct plan *plan, const struct nb_step *step)
{
	int context = (int)syscall(SYS_fspick, slots[step->num[0]], "",
				   FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
	int result;

	if (context < 0)
		return -1;
	result = configure(context, text(plan, step, 0), step->num[1]);
	if (result == 0)
		result = finish_context(context, FSCONFIG_CMD_RECONFIGURE);
	if (result < 0)
		keep_message(context);
	close(context);
	return result;
}

int op_set_attr(const struct plan *plan, const struct nb_step *step)
{
	struct mount_attr attributes = {
		.attr_set = step->num[1],
		.attr_clr = step->num[2],
		.propagation = step->num[3],
	};

	(void)plan;
	return change_mount(&slots[step->num[0]], step->num[5], step->num[4] ? AT_RECURSIVE : 0,
			    &attributes);
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
	return (int)syscall(SYS_move_mount, slots[step->num[0]], "", AT_FDCWD, text(plan, step, 0),
			    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS);
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
	int fd = open_root_of(text(plan, step, 0), step->num[1]);

	if (fd < 0)
		return -1;
	set_slot(step->num[0], fd);
	return 0;
}

/* The mount that lies at a target already. */
int op_open_target(const struct plan *plan, const struct nb_step *step)
{
	int fd = open_in_root(slots[step->num[2]], text(plan, step, 0), O_PATH,
			      step->num[1] & NB_TARGET_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0);

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
