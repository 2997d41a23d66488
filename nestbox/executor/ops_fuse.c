/* A root that a program outside shows: the mount is made here, the program is the runtime's. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum {
	FUSE_MAJOR = 10, /* Documentation/admin-guide/devices.txt */
	FUSE_MINOR = 229,
};

static bool is_fuse(int fd)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return false;
	errno = ENODEV;
	return S_ISCHR(info.st_mode) && info.st_rdev == makedev(FUSE_MAJOR, FUSE_MINOR);
}

static int set_text(int context, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
			    key, value, 0);
}

/*
 * Owners and modes are the kernel's to check, as on any other file system, and every user of the
 * container comes in. Source: Documentation/filesystems/fuse.rst, "Mount options".
 */
static int mount_fuse(int device, unsigned int attributes)
{
	int context = (int)syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC);
	char number[] = "0000000000";
	int mount = -1;

	if (context < 0)
		return -1;
	for (int i = sizeof(number) - 2; i >= 0; i--, device /= 10)
		number[i] = (char)('0' + device % 10);
	if (set_text(context, "source", "nestbox") == 0 &&
	    set_text(context, "subtype", "fuse-overlayfs") == 0 &&
	    set_text(context, "fd", number) == 0 && set_text(context, "rootmode", "40000") == 0 &&
	    set_text(context, "user_id", "0") == 0 && set_text(context, "group_id", "0") == 0 &&
	    set_text(context, "default_permissions", NULL) == 0 &&
	    set_text(context, "allow_other", NULL) == 0 &&
	    syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
	close(context);
	return mount;
}

/* The device is opened here, as it must be in the user namespace that owns the mount. */
int op_fuse(const struct plan *plan, const struct nb_step *step)
{
	int device = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int mount, result = -1;

	(void)plan;
	if (device < 0)
		return -1;
	/* A device that does not wait would be busy waiting for its program. */
	if (is_fuse(device) && fcntl(device, F_SETFL, 0) == 0) {
		mount = mount_fuse(device, (unsigned int)step->num[1]);
		if (mount >= 0) {
			set_slot(step->num[0], mount);
			result = lend(device);
		}
	}
	close(device);
	return result;
}
