/* Device nodes and links, in directories that are open. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

/* A node that was there before is as good as one of ours if it is the same device. */
static int accept_present(int parent, const char *name, mode_t mode, dev_t device)
{
	struct stat info;

	if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if ((info.st_mode & S_IFMT) == (mode & S_IFMT) &&
	    (S_ISFIFO(mode) || info.st_rdev == device))
		return 0;
	errno = EEXIST;
	return -1;
}

/* The umask is 0, so the mode is exact; a change of the owner keeps it. */
static int make_node(int parent, const char *name, const struct nb_step *step)
{
	mode_t mode = (mode_t)step->num[1];
	dev_t device = (dev_t)step->num[2];

	if (mknodat(parent, name, mode, device) < 0)
		return errno == EEXIST ? accept_present(parent, name, mode, device) : -1;
	return fchownat(parent, name, (uid_t)step->num[3], (gid_t)step->num[4],
			AT_SYMLINK_NOFOLLOW);
}

/* No link on the way to a device is followed: /dev of the root may be one (CVE-2026-41579). */
int op_device(const struct plan *plan, const struct nb_step *step)
{
	int base = slots[step->num[0]];
	char buffer[NB_PATH_SIZE + 1];
	const char *name;
	int parent = open_parent(base, text(plan, step, 0), NB_TARGET_NO_SYMLINKS, buffer, &name);
	int result;

	if (parent < 0)
		return -1;
	result = make_node(parent, name, step);
	if (parent != base)
		close(parent);
	return result;
}

int op_symlink(const struct plan *plan, const struct nb_step *step)
{
	int base = slots[step->num[0]];
	char buffer[NB_PATH_SIZE + 1];
	const char *name;
	int parent = open_parent(base, text(plan, step, 0), step->num[1], buffer, &name);
	int result;

	if (parent < 0)
		return -1;
	result = symlinkat(text(plan, step, 1), parent, name);
	if (result < 0 && errno == EEXIST)
		result = 0;
	if (parent != base)
		close(parent);
	return result;
}
