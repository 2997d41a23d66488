/* The terminal: a pty of the container's own devpts; the caller's one never comes in. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41) /* Linux 4.13 */
#endif

/* Unix98 pty slaves; include/uapi/linux/major.h, UNIX98_PTY_SLAVE_MAJOR and seven more. */
enum { PTY_SLAVE_FIRST = 136, PTY_SLAVE_LAST = 143 };

/* Documentation/admin-guide/devices.txt: /dev/ptmx is 5:2, /dev/null is 1:3. */
enum { TTYAUX_MAJOR = 5, PTMX_MINOR = 2, MEM_MAJOR = 1, NULL_MINOR = 3 };

/* By ioctl on the master, so that no name in the container is followed (CVE-2025-52565). */
static int open_peer(int master)
{
	int unlocked = 0;
	struct stat info;
	int peer;

	if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
		return -1;
	peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (peer < 0)
		return -1;
	if (fstat(peer, &info) < 0 || !S_ISCHR(info.st_mode) ||
	    major(info.st_rdev) < PTY_SLAVE_FIRST || major(info.st_rdev) > PTY_SLAVE_LAST) {
		close(peer);
		errno = ENXIO;
		return -1;
	}
	return peer;
}

/* Makes it the /dev/console of the container. */
static int attach_console(int peer, int root, const char *target)
{
	int console = clone_tree(peer, "", 0);
	int place = open_target(root, target, NB_TARGET_MAKE, S_IFREG | 0600);

	if (console < 0 || place < 0 || attach_at(console, place) < 0)
		return -1;
	close(console);
	return close(place);
}

/* Makes it the session's terminal and its standard streams. */
static int take_terminal(int peer, uid_t owner)
{
	if (fchown(peer, owner, (gid_t)-1) < 0)
		return -1;
	if (setsid() < 0 || ioctl(peer, TIOCSCTTY, 0) < 0)
		return -1;
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(peer, fd) < 0)
			return -1;
	return 0;
}

/* The multiplexer of a devpts, whatever the container has put into that place. */
static int open_master(void)
{
	int master = openat(slots[NB_SLOT_PTS], "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	struct statfs system;
	struct stat info;

	if (master < 0)
		return -1;
	if (fstatfs(master, &system) == 0 && system.f_type == DEVPTS_SUPER_MAGIC &&
	    fstat(master, &info) == 0 && S_ISCHR(info.st_mode) &&
	    info.st_rdev == makedev(TTYAUX_MAJOR, PTMX_MINOR))
		return master;
	close(master);
	errno = ENXIO;
	return -1;
}

static int set_size(int master, uint64_t rows, uint64_t columns)
{
	const struct winsize size = {
		.ws_row = (unsigned short)rows,
		.ws_col = (unsigned short)columns,
	};

	return rows || columns ? ioctl(master, TIOCSWINSZ, &size) : 0;
}

int op_console(const struct plan *plan, const struct nb_step *step)
{
	const char *target = text(plan, step, 0);
	int master = open_master();
	int peer;

	if (master < 0)
		return -1;
	peer = open_peer(master);
	if (peer < 0 || set_size(master, step->num[2], step->num[3]) < 0)
		return -1;
	if (*target && attach_console(peer, slots[step->num[1]], target) < 0)
		return -1;
	if (take_terminal(peer, (uid_t)step->num[0]) < 0)
		return -1;
	if (send_report(NB_REPORT_CONSOLE, master) < 0)
		return -1;
	close(peer);
	return close(master);
}

/* Of files that cannot be given, as on a read-only file system, the user has what rights he has. */
int op_own_streams(const struct plan *plan, const struct nb_step *step)
{
	uid_t owner = (uid_t)step->num[0];

	(void)plan;
	for (int fd = 0; fd <= 2; fd++) {
		struct stat info;

		if (fstat(fd, &info) < 0)
			return -1;
		/* The null device belongs to everybody. */
		if (info.st_uid == owner ||
		    (S_ISCHR(info.st_mode) && info.st_rdev == makedev(MEM_MAJOR, NULL_MINOR)))
			continue;
		if (fchown(fd, owner, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM &&
		    errno != EROFS)
			return -1;
	}
	return 0;
}
