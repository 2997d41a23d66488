/*
 * Trials in a throwaway child. The child is a copy of our process that runs only
 * raw system calls: another thread of ours may hold any lock, and an interpreter
 * must not notice that it was copied. It does not share our memory, because a
 * seccomp filter that kills it would, before Linux 5.16, end every process that
 * does with its core dump.
 */
#include "compat.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trials.h"

enum {
	PAGE_BYTES = 4096,
	PAGE_RESULTS = 128,
	OWN_WAY_TO_FAIL = EPROTO, /* a step that cannot be told apart otherwise */
};

/* What child and parent share. */
struct page {
	int32_t step; /* of the trial that is under way */
	int32_t results[PAGE_RESULTS];
};

struct trial {
	void (*run)(struct page *page, const struct trial *trial);
	const char *lower;
	const char *directory;
	uint64_t flags;
	int32_t kind;
	int32_t first;
	int32_t count;
};

_Static_assert(sizeof(struct page) <= PAGE_BYTES, "results do not fit into the shared page");

/* Neither a core dump nor a child that outlives us: a pipe for dumps ignores a limit of 0. */
static void prepare_child(void)
{
	struct rlimit limit;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getrlimit(RLIMIT_CORE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max == 0 ? 0 : 1;
		setrlimit(RLIMIT_CORE, &limit);
	}
}

static pid_t clone_child(int *pidfd)
{
#ifdef __s390x__
	return (pid_t)syscall(SYS_clone, 0, CLONE_PIDFD, pidfd, 0, 0);
#else
	return (pid_t)syscall(SYS_clone, CLONE_PIDFD, 0, pidfd, 0, 0);
#endif
}

/* Waits for the end; what cannot even be killed in time is left to the kernel. */
static int32_t wait_child(int pidfd, pid_t pid, int32_t limit_ms)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	int32_t verdict = 0;
	int status = 0;

	while (poll(&end, 1, limit_ms) == 0) {
		if (verdict == NB_TRIAL_TIMEOUT)
			return verdict;
		verdict = NB_TRIAL_TIMEOUT;
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	if (verdict == 0 && WIFSIGNALED(status))
		verdict = NB_TRIAL_KILLED;
	return verdict;
}

/*
 * Runs a trial in a child. Signals stay blocked in it, so that no handler of ours
 * runs there; those that a filter forces kill it all the same. It is born without
 * an exit signal: nobody else's wait(2) sees it.
 */
static int32_t run_child(struct page *page, const struct trial *trial, int32_t limit_ms)
{
	sigset_t all, old;
	int pidfd = -1;
	int32_t verdict;
	pid_t pid;

	sigfillset(&all);
	if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0)
		return -EINVAL;
	pid = clone_child(&pidfd);
	if (pid == 0) {
		prepare_child();
		trial->run(page, trial);
		_exit(0);
	}
	verdict = pid < 0 ? -errno : 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid < 0)
		return verdict;
	verdict = wait_child(pidfd, pid, limit_ms);
	close(pidfd);
	return verdict;
}

static struct page *new_page(void)
{
	void *page =
		mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

/* The result of a trial that has one step. */
static int32_t try_once(const struct trial *trial, int32_t limit_ms)
{
	struct page *page = new_page();
	int32_t result;

	if (page == NULL)
		return -errno;
	page->results[0] = OWN_WAY_TO_FAIL;
	result = run_child(page, trial, limit_ms);
	if (result == 0)
		result = page->results[0];
	munmap(page, PAGE_BYTES);
	return result;
}

static int32_t errno_of(long result)
{
	return result < 0 ? errno : 0;
}

static int32_t write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int32_t error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

/* "0 ID 1\n": maps the first id of a new namespace to our own. */
static void format_map(char *text, uint32_t id)
{
	char digits[16];
	int count = 0;

	do {
		digits[count++] = (char)('0' + id % 10);
		id /= 10;
	} while (id > 0);
	*text++ = '0';
	*text++ = ' ';
	while (count > 0)
		*text++ = digits[--count];
	strcpy(text, " 1\n");
}

static int32_t enter_user_namespace(void)
{
	char uid_map[32];
	char gid_map[32];
	int32_t error;

	format_map(uid_map, geteuid());
	format_map(gid_map, getegid());
	error = errno_of(syscall(SYS_unshare, CLONE_NEWUSER));
	if (error == 0)
		error = write_file("/proc/self/setgroups", "deny");
	if (error == 0)
		error = write_file("/proc/self/uid_map", uid_map);
	if (error == 0)
		error = write_file("/proc/self/gid_map", gid_map);
	return error;
}

static void run_unshare(struct page *page, const struct trial *trial)
{
	page->results[0] = trial->kind ? enter_user_namespace() : 0;
	if (page->results[0] == 0)
		page->results[0] = errno_of(syscall(SYS_unshare, trial->flags));
}

int32_t nb_try_unshare(uint64_t flags, int32_t in_user_namespace, int32_t limit_ms)
{
	const struct trial trial = {
		.run = run_unshare,
		.flags = flags,
		.kind = in_user_namespace,
	};

	return try_once(&trial, limit_ms);
}

static int32_t enter_mount_namespace(void)
{
	int32_t error = errno_of(syscall(SYS_unshare, CLONE_NEWNS));

	if (error == 0)
		error = errno_of(syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	return error;
}

/* A mount that is attached nowhere: its descriptor, or -1 with errno. */
static int new_mount(int context)
{
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
}

static int32_t mount_tmpfs(const char *directory)
{
	int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	int mount = context < 0 ? -1 : new_mount(context);

	if (mount < 0)
		return errno;
	return errno_of(
		syscall(SYS_move_mount, mount, "", AT_FDCWD, directory, MOVE_MOUNT_F_EMPTY_PATH));
}

static int set_option(int context, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, context,
			    value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, key, value, 0);
}

/* Relative paths, since a value of fsconfig(2) is at most 255 bytes long. */
static int32_t mount_overlay(const char *lower, int in_user_namespace)
{
	int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);

	if (context < 0 || set_option(context, "lowerdir", lower) < 0 ||
	    set_option(context, "upperdir", "upper") < 0 ||
	    set_option(context, "workdir", "work") < 0)
		return errno;
	if (in_user_namespace && set_option(context, "userxattr", NULL) < 0)
		return errno;
	return errno_of(new_mount(context));
}

static void run_overlay(struct page *page, const struct trial *trial)
{
	int32_t error = trial->kind == NB_OVERLAY_USER ? enter_user_namespace() : 0;

	if (error == 0)
		error = enter_mount_namespace();
	if (error == 0 && trial->kind != NB_OVERLAY_DIRECTORY)
		error = mount_tmpfs(trial->directory);
	if (error == 0)
		error = errno_of(chdir(trial->directory));
	if (error == 0 && trial->kind != NB_OVERLAY_DIRECTORY)
		error = errno_of(mkdir("upper", 0700) | mkdir("work", 0700));
	page->results[0] = error != 0 ? error :
					mount_overlay(trial->lower, trial->kind == NB_OVERLAY_USER);
}

int32_t nb_try_overlay(const char *lower, const char *directory, int32_t kind, int32_t limit_ms)
{
	const struct trial trial = {
		.run = run_overlay, .lower = lower, .directory = directory, .kind = kind
	};

	return try_once(&trial, limit_ms);
}

static void run_mknod(struct page *page, const struct trial *trial)
{
	int32_t error = enter_mount_namespace();

	if (error == 0)
		error = mount_tmpfs(trial->directory);
	if (error == 0)
		error = errno_of(chdir(trial->directory));
	if (error == 0)
		error = errno_of(mknod("null", S_IFCHR | 0600, makedev(1, 3)));
	page->results[0] = error != 0 ? error : errno_of(open("null", O_RDWR | O_CLOEXEC));
}

int32_t nb_try_mknod(const char *directory, int32_t limit_ms)
{
	const struct trial trial = { .run = run_mknod, .directory = directory };

	return try_once(&trial, limit_ms);
}

/* When the kernel would answer EPERM of its own accord before it looks at the arguments. */
enum gate {
	OPEN, /* never */
	OWNER, /* without CAP_SYS_ADMIN over our mount and uts namespaces */
	GROUPS, /* without the right to call setgroups(2) */
};

struct row {
	const char *name;
	long number;
	enum gate gate;
	long arguments[6];
};

#define ROW(name, ...)                         \
	{                                      \
#name, SYS_##name, __VA_ARGS__ \
	}

/*
 * Arguments that fail for a reason of their own: an unknown flag or operation, a
 * bad descriptor, a path that is no pointer, a size that is too small. Two calls
 * cannot fail so: setting an id to -1 changes nothing and succeeds.
 * Source: the order of the checks in kernel/, fs/ and security/ of Linux 5.12 to 6.18.
 */
static const struct row rows[] = {
	ROW(clone, OPEN, { CLONE_NEWNS | CLONE_FS }),
	ROW(clone3, OPEN, { 0, 0 }),
	ROW(unshare, OPEN, { 1 }),
	ROW(setns, OPEN, { -1, 0 }),
	ROW(pidfd_open, OPEN, { 0, 0 }),
	ROW(pidfd_send_signal, OPEN, { -1, 0, 0, ~0U }),
	ROW(close_range, OPEN, { ~0U, 0, 0 }),
	ROW(memfd_create, OPEN, { 0, 0x1000 }),
	ROW(execve, OPEN, { 0, 0, 0 }),
	ROW(execveat, OPEN, { -1, 0, 0, 0, 0 }),
	ROW(openat2, OPEN, { -1, 0, 0, 0 }),
	ROW(faccessat2, OPEN, { -1, 0, 0, ~0U }),
	ROW(statx, OPEN, { -1, 0, 0, 0x80000000U, 0 }),
	ROW(mknodat, OPEN, { -1, 0, S_IFCHR, 0 }),
	ROW(mount, OPEN, { 0, 0, 0, 0, 0 }),
	ROW(umount2, OPEN, { 0, ~0U }),
	ROW(open_tree, OPEN, { -1, 0, 0x40000000 }),
	ROW(mount_setattr, OPEN, { -1, 0, 0x40000000, 0, 0 }),
	ROW(fsconfig, OPEN, { -1, 0, 0, 0, 0 }),
	ROW(chroot, OPEN, { 0 }),
	ROW(capget, OPEN, { 0, 0 }),
	ROW(capset, OPEN, { 0, 0 }),
	ROW(prctl, OPEN, { -1, 0, 0, 0, 0 }),
	ROW(seccomp, OPEN, { 0xffff, 0, 0 }),
	ROW(keyctl, OPEN, { 0xffff, 0, 0, 0, 0 }),
	ROW(prlimit64, OPEN, { 0, 0xffff, 0, 0 }),
	ROW(setresuid, OPEN, { -1, -1, -1 }),
	ROW(setresgid, OPEN, { -1, -1, -1 }),
	ROW(setgroups, GROUPS, { -1, 0 }),
	ROW(fsopen, OWNER, { 0, ~0U }),
	ROW(fsmount, OWNER, { -1, ~0U, 0 }),
	ROW(fspick, OWNER, { -1, 0, ~0U }),
	ROW(move_mount, OWNER, { -1, 0, -1, 0, ~0U }),
	ROW(pivot_root, OWNER, { 0, 0 }),
	ROW(sethostname, OWNER, { 0, -1 }),
};

enum {
	ROWS = sizeof(rows) / sizeof(rows[0]),
};

_Static_assert(sizeof(rows) / sizeof(rows[0]) <= (size_t)PAGE_RESULTS,
	       "more system calls than the shared page has results");

const char *nb_trial_syscall(int32_t index)
{
	return index >= 0 && index < ROWS ? rows[index].name : NULL;
}

static int owns_namespaces(void)
{
	return syscall(SYS_unshare, CLONE_NEWNS | CLONE_NEWUTS) == 0 ||
	       syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS) == 0;
}

static int32_t call_row(const struct row *row)
{
	const long *a = row->arguments;
	long result;

	errno = 0;
	result = syscall(row->number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return result < 0 && (errno == ENOSYS || errno == EPERM) ? errno : 0;
}

/* Ungated calls come first in the table, so that namespaces are made as late as possible. */
static void run_syscalls(struct page *page, const struct trial *trial)
{
	int owner = -1;

	for (int32_t i = trial->first; i < trial->count; i++) {
		page->step = i;
		page->results[i] = NB_TRIAL_LEFT_OUT;
		if (rows[i].gate == OWNER && owner < 0)
			owner = owns_namespaces();
		if (rows[i].gate == OPEN || (rows[i].gate == OWNER && owner > 0) ||
		    (rows[i].gate == GROUPS && trial->kind))
			page->results[i] = call_row(&rows[i]);
	}
	page->step = trial->count;
}

int32_t nb_try_syscalls(int32_t *results, int32_t count, int32_t can_setgroups, int32_t limit_ms)
{
	struct trial trial = { .run = run_syscalls, .kind = can_setgroups, .count = count };
	struct page *page;
	int32_t error = 0;

	if (count < 0 || count > ROWS)
		return -EINVAL;
	page = new_page();
	if (page == NULL)
		return -errno;
	while (error >= 0 && trial.first < count) {
		page->step = trial.first;
		error = run_child(page, &trial, limit_ms);
		if (error > 0)
			page->results[page->step] = error;
		trial.first = page->step + 1;
	}
	memcpy(results, page->results, (size_t)count * sizeof(*results));
	munmap(page, PAGE_BYTES);
	return error < 0 ? error : 0;
}
