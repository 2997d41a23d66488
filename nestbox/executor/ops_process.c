/* The process and its namespaces: what is set before any right is given up. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

int op_parent_death(const struct plan *plan, const struct nb_step *step)
{
	char byte;

	(void)plan;
	if (prctl(PR_SET_PDEATHSIG, step->num[0], 0, 0, 0) < 0)
		return -1;
	/* It may have died before that; getppid(2) says 0 in a new pid namespace. */
	if (recv(control, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) == 0) {
		errno = ECANCELED;
		return -1;
	}
	return 0;
}

static bool closed; /* what the last NB_OP_DUMPABLE said */

int op_dumpable(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	closed = step->num[0] == 0;
	return prctl(PR_SET_DUMPABLE, step->num[0], 0, 0, 0);
}

int stay_closed(void)
{
	return closed ? prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) : 0;
}

/* Without a name: one of that name would be joined, and another container may have made it. */
int op_keyring(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	(void)step;
	return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ? -1 : 0;
}

int op_hostname(const struct plan *plan, const struct nb_step *step)
{
	const char *name = text(plan, step, 0);

	return (int)syscall(SYS_sethostname, name, strlen(name));
}

int op_domainname(const struct plan *plan, const struct nb_step *step)
{
	const char *name = text(plan, step, 0);

	return (int)syscall(SYS_setdomainname, name, strlen(name));
}

int op_loopback(const struct plan *plan, const struct nb_step *step)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result;

	(void)plan;
	(void)step;
	if (fd < 0)
		return -1;
	result = ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
	return result;
}

int op_session(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	(void)step;
	return setsid() < 0 ? -1 : 0;
}

int op_umask(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	umask((mode_t)step->num[0]);
	return 0;
}

int op_rlimit(const struct plan *plan, const struct nb_step *step)
{
	const struct {
		uint64_t soft, hard;
	} limit = { step->num[1], step->num[2] };

	(void)plan;
	return (int)syscall(SYS_prlimit64, 0, (int)step->num[0], &limit, NULL);
}

/*
 * Through a proc mount of our own, by its descriptor: nothing in the root can stand
 * between the name and the file that is written (CVE-2025-52881).
 */
static int write_below(int proc, const char *path, const char *value)
{
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	size_t length = strlen(value);
	struct statfs info;
	ssize_t written;
	int fd = (int)syscall(SYS_openat2, proc, path, &how, sizeof(how));

	if (fd < 0)
		return -1;
	if (fstatfs(fd, &info) < 0 || info.f_type != PROC_SUPER_MAGIC) {
		close(fd);
		errno = EXDEV;
		return -1;
	}
	written = write(fd, value, length);
	if (written < 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	if (close(fd) < 0)
		return -1;
	if (written != (ssize_t)length) {
		errno = EIO;
		return -1;
	}
	return 0;
}

/* Opens the proc directory of a step; what is not a slot's own is to be closed. */
static int proc_of(const struct nb_step *step)
{
	if (step->num[0] != NB_SLOT_NONE)
		return slots[step->num[0]];
	return open_root_of("/proc", PROC_SUPER_MAGIC);
}

static int done_with(int proc, const struct nb_step *step, int result)
{
	int error = errno;

	if (proc >= 0 && step->num[0] == NB_SLOT_NONE)
		close(proc);
	errno = error;
	return result;
}

int op_proc_write(const struct plan *plan, const struct nb_step *step)
{
	int proc = proc_of(step);

	if (proc < 0 && step->num[0] == NB_SLOT_NONE)
		return -1;
	return done_with(proc, step, write_below(proc, text(plan, step, 0), text(plan, step, 1)));
}

/* Before Linux 5.8 a security module has no directory of its own below attr. */
int op_label(const struct plan *plan, const struct nb_step *step)
{
	int proc = proc_of(step);
	int result;

	if (proc < 0 && step->num[0] == NB_SLOT_NONE)
		return -1;
	result = write_below(proc, text(plan, step, 0), text(plan, step, 2));
	if (result < 0 && errno == ENOENT && *text(plan, step, 1))
		result = write_below(proc, text(plan, step, 1), text(plan, step, 2));
	return done_with(proc, step, result);
}
