/*
 * The child is a copy of our process that runs only raw system calls: another
 * thread of ours may hold any lock, and an interpreter must not notice that it was
 * copied. It does not share our memory, because a seccomp filter that kills it
 * would, before Linux 5.16, end every process that does with its core dump.
 */
#include "compat.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trial_child.h"
#include "trials.h"

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

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Whether the child ends in time; a signal that we get ourselves does not prolong the wait. */
static int ends_within(int pidfd, int32_t limit_ms)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	const int64_t deadline = now_ms() + limit_ms;
	int64_t left = limit_ms;
	int result = -1;

	while (result < 0 && left >= 0) {
		result = poll(&end, 1, (int)left);
		if (result < 0 && errno != EINTR)
			return 0;
		left = deadline - now_ms();
	}
	return result > 0;
}

/* Waits for the end; what cannot even be killed in time is left to the kernel. */
static int32_t wait_child(int pidfd, pid_t pid, int32_t limit_ms)
{
	int32_t verdict = 0;
	int status = 0;

	if (!ends_within(pidfd, limit_ms)) {
		verdict = NB_TRIAL_TIMEOUT;
		kill(pid, SIGKILL);
		if (!ends_within(pidfd, limit_ms))
			return verdict;
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
int32_t nb_run_child(struct page *page, const struct trial *trial, int32_t limit_ms)
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

struct page *nb_new_page(void)
{
	void *page = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED ? NULL : page;
}

void nb_free_page(struct page *page)
{
	munmap(page, sizeof(*page));
}

int32_t nb_errno_of(long result)
{
	return result < 0 ? errno : 0;
}

int32_t nb_try_once(const struct trial *trial, int32_t limit_ms)
{
	struct page *page = nb_new_page();
	int32_t result;

	if (page == NULL)
		return -errno;
	page->results[0] = EPROTO; /* until the child says otherwise */
	result = nb_run_child(page, trial, limit_ms);
	if (result == 0)
		result = page->results[0];
	nb_free_page(page);
	return result;
}
