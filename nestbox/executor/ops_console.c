/* The terminal: a pty of the container's own devpts; the caller's one never comes in. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41) /* Linux 4.13 */
#endif

/* Unix98 pty slaves; include/uapi/linux/major.h, UNIX98_PTY_SLAVE_MAJOR and seven more. */
enum { PTY_SLAVE_FIRST = 136, PTY_SLAVE_LAST = 143 };

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

/* Makes it the session's terminal, its /dev/console and its standard streams. */
static int take_terminal(int peer, int root, const char *target, uid_t owner)
{
	int console = clone_tree(peer, "", 0);
	int place = open_target(root, target, NB_TARGET_MAKE, S_IFREG | 0600);

	if (console < 0 || place < 0 || attach_at(console, place) < 0)
		return -1;
	close(console);
	close(place);
	if (fchown(peer, owner, (gid_t)-1) < 0)
		return -1;
	if (setsid() < 0 || ioctl(peer, TIOCSCTTY, 0) < 0)
		return -1;
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(peer, fd) < 0)
			return -1;
	return 0;
}

int op_console(const struct plan *plan, const struct nb_step *step)
{
	int master = openat(slots[NB_SLOT_PTS], "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int peer;

	if (master < 0)
		return -1;
	peer = open_peer(master);
	if (peer < 0)
		return -1;
	if (take_terminal(peer, slots[step->num[1]], text(plan, step, 0), (uid_t)step->num[0]) < 0)
		return -1;
	if (send_report(NB_REPORT_CONSOLE, master) < 0)
		return -1;
	close(peer);
	return close(master);
}
