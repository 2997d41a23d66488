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

int op_sync(const struct plan *plan, const struct nb_step *step)
{
	char go;
	ssize_t n;

	(void)plan;
	(void)step;
	if (send_report(NB_REPORT_SYNC, -1) < 0)
		return -1;
	do
		n = recv(NB_CONTROL_FD, &go, sizeof(go), 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ECANCELED; /* the other side is gone */
	return n == sizeof(go) ? 0 : -1;
}

int op_parent_death(const struct plan *plan, const struct nb_step *step)
{
	char byte;

	(void)plan;
	if (prctl(PR_SET_PDEATHSIG, step->num[0], 0, 0, 0) < 0)
		return -1;
	/* It may have died before that; getppid(2) says 0 in a new pid namespace. */
	if (recv(NB_CONTROL_FD, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) == 0) {
		errno = ECANCELED;
		return -1;
	}
	return 0;
}

int op_dumpable(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	return prctl(PR_SET_DUMPABLE, step->num[0], 0, 0, 0);
}

/* Without a name: one of that name would be joined, and another container may have made it. */
int op_keyring(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	(void)step;
	return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ? -1 : 0;
}

int op_unshare(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	return (int)syscall(SYS_unshare, step->num[0]);
}

int op_hostname(const struct plan *plan, const struct nb_step *step)
{
	const char *name = text(plan, step, 0);

	return (int)syscall(SYS_sethostname, name, strlen(name));
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
 * Through the container's own proc mount, by its descriptor: nothing in the root
 * can stand between the name and the file that is written (CVE-2025-52881).
 */
int op_proc_write(const struct plan *plan, const struct nb_step *step)
{
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	const char *value = text(plan, step, 1);
	size_t length = strlen(value);
	struct statfs info;
	ssize_t written;
	int fd = (int)syscall(SYS_openat2, slots[NB_SLOT_PROC], text(plan, step, 0), &how,
			      sizeof(how));

	if (fd < 0)
		return -1;
	if (fstatfs(fd, &info) < 0 || info.f_type != PROC_SUPER_MAGIC) {
		close(fd);
		errno = EXDEV;
		return -1;
	}
	written = write(fd, value, length);
	if (close(fd) < 0 || written < 0)
		return -1;
	if (written != (ssize_t)length) {
		errno = EIO;
		return -1;
	}
	return 0;
}
