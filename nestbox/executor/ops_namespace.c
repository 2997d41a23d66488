/* Namespaces that are made later than the process, or exist already. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

/* In the order of entering; with the mounts of another namespace goes every path that is known. */
static const struct {
	int type;
	int slot;
} kinds[] = {
	{ CLONE_NEWIPC, NB_SLOT_IPC_NS },   { CLONE_NEWUTS, NB_SLOT_UTS_NS },
	{ CLONE_NEWNET, NB_SLOT_NET_NS },   { CLONE_NEWCGROUP, NB_SLOT_CGROUP_NS },
	{ CLONE_NEWTIME, NB_SLOT_TIME_NS }, { CLONE_NEWPID, NB_SLOT_PID_NS },
	{ CLONE_NEWNS, NB_SLOT_MNT_NS },
};

enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

int op_unshare(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	return syscall(SYS_unshare, step->num[0]) < 0 ? -1 : stay_closed();
}

int op_open_namespace(const struct plan *plan, const struct nb_step *step)
{
	int fd = open(text(plan, step, 0), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int type;

	if (fd < 0)
		return -1;
	type = ioctl(fd, NS_GET_NSTYPE);
	if (type < 0 || (uint64_t)type != step->num[1]) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	set_slot(step->num[0], fd);
	return 0;
}

static bool same_file(const struct stat *one, const struct stat *other)
{
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Whether a namespace belongs to this user namespace. */
static bool belongs_to(int namespace, int user)
{
	int owner = ioctl(namespace, NS_GET_USERNS);
	struct stat one, other;
	bool belongs;

	if (owner < 0)
		return false; /* to one that is not below our own */
	belongs = fstat(owner, &one) == 0 && fstat(user, &other) == 0 && same_file(&one, &other);
	close(owner);
	return belongs;
}

static int enter(int type, int slot)
{
	int result = setns(slots[slot], type);
	int error = errno;

	set_slot((uint64_t)slot, -1);
	errno = error;
	return result;
}

/* The one that we are in already cannot be entered once more; see setns(2). */
static void forget_own_user(void)
{
	struct stat ours, other;

	if (slots[NB_SLOT_USER_NS] >= 0 && stat("/proc/self/ns/user", &ours) == 0 &&
	    fstat(slots[NB_SLOT_USER_NS], &other) == 0 && same_file(&ours, &other))
		set_slot(NB_SLOT_USER_NS, -1);
}

/*
 * Entering takes rights over the namespace's owner. Those over the present user
 * namespace end with it and those over the joined one begin, so what belongs to that
 * one is entered after it and everything else before.
 */
int op_join(const struct plan *plan, const struct nb_step *step)
{
	bool later[KINDS] = { false };
	int user;

	(void)plan;
	(void)step;
	/* While /proc is that of the outer environment. */
	forget_own_user();
	user = slots[NB_SLOT_USER_NS];
	for (size_t i = 0; i < KINDS; i++) {
		if (slots[kinds[i].slot] < 0)
			continue;
		later[i] = user >= 0 && belongs_to(slots[kinds[i].slot], user);
		if (!later[i] && enter(kinds[i].type, kinds[i].slot) < 0)
			return -1;
	}
	if (user >= 0 && (enter(CLONE_NEWUSER, NB_SLOT_USER_NS) < 0 || stay_closed() < 0))
		return -1;
	for (size_t i = 0; i < KINDS; i++)
		if (later[i] && enter(kinds[i].type, kinds[i].slot) < 0)
			return -1;
	return 0;
}

/* The child waits until the runtime has been told of it: it would otherwise be heard first. */
static int wait_until_known(const int gate[2])
{
	char byte;
	ssize_t n;

	close(gate[1]);
	do
		n = read(gate[0], &byte, sizeof(byte));
	while (n < 0 && errno == EINTR);
	close(gate[0]);
	if (n == 0)
		errno = ECANCELED;
	return n == sizeof(byte) ? 0 : -1;
}

/*
 * A process enters a pid or time namespace only by being born in it. The child has the
 * same parent as we have, so the runtime waits for it as for us.
 */
int op_fork(const struct plan *plan, const struct nb_step *step)
{
	int gate[2];
	long child;

	(void)plan;
	(void)step;
	if (pipe2(gate, O_CLOEXEC) < 0)
		return -1;
	child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (child < 0)
		return -1;
	if (child == 0)
		return wait_until_known(gate);
	report.value[0] = (uint64_t)child;
	if (send_report(NB_REPORT_FORKED, -1) < 0 || write(gate[1], "g", 1) != 1)
		_exit(2);
	_exit(0);
}

/* Written at once, since the kernel takes them only until the first process is in there. */
int op_time_offsets(const struct plan *plan, const struct nb_step *step)
{
	const char *value = text(plan, step, 0);
	int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	struct statfs info;
	ssize_t n = -1;
	int error;

	if (fd < 0)
		return -1;
	if (fstatfs(fd, &info) == 0) {
		errno = EXDEV;
		if (info.f_type == PROC_SUPER_MAGIC)
			n = write(fd, value, strlen(value));
	}
	error = n >= 0 ? EIO : errno;
	close(fd);
	errno = error;
	return n == (ssize_t)strlen(value) ? 0 : -1;
}
