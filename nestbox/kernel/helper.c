/*
 * Starts a helper. The child shares our memory until it executes (as with vfork),
 * so that nothing but system calls may happen in it: another thread of ours may hold
 * any lock.
 */
#include "compat.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "close_from.h"
#include "helper.h"

enum { STACK_SIZE = 16384, FIRST_KEPT = 3 };

struct child {
	const struct nb_helper *request;
	pid_t parent;
	int error; /* written by the child, in the memory that it shares with us */
};

/* Its handlers are a copy of ours; a pending signal would run one of them, in our memory. */
static void forget_handlers(void)
{
	struct sigaction action;

	for (int number = 1; number < NSIG; number++) {
		if (sigaction(number, NULL, &action) < 0 || action.sa_handler == SIG_DFL)
			continue;
		action.sa_handler = SIG_DFL;
		action.sa_flags = 0;
		sigaction(number, &action, NULL);
	}
}

static int place_descriptors(const struct nb_helper *request)
{
	const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 ||
	    dup2(request->output, STDOUT_FILENO) < 0 || dup2(request->output, STDERR_FILENO) < 0)
		return -1;
	/* Whatever else our process holds open is not for it. */
	if (close_from(FIRST_KEPT, true) < 0)
		return -1;
	for (int32_t i = 0; i < request->kept_count; i++)
		if (fcntl(request->kept[i], F_SETFD, 0) < 0)
			return -1;
	return 0;
}

static int enter_directory(int directory)
{
	return directory < 0 ? chdir("/") : fchdir(directory);
}

/* Runs in the child, in our memory. Its table of descriptors is its own. */
static int become_helper(void *argument)
{
	struct child *child = argument;
	sigset_t none;

	forget_handlers();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		goto fail;
	/* Who died before that sends no signal. */
	if (getppid() != child->parent)
		_exit(127);
	if (setsid() < 0 || enter_directory(child->request->directory) < 0 ||
	    place_descriptors(child->request) < 0)
		goto fail;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(child->request->program, child->request->arguments, child->request->environment);
fail:
	child->error = errno;
	_exit(127);
}

/* With every signal blocked, so that no handler of ours ever runs in the child. */
static long clone_child(struct child *child, int *pidfd)
{
	_Alignas(16) char stack[STACK_SIZE];
	sigset_t all, old;
	long pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(become_helper, stack + STACK_SIZE,
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, child, pidfd);
	if (pid < 0)
		pid = -errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return pid;
}

int64_t nb_start_helper(struct nb_helper *request)
{
	struct child child = { .request = request, .parent = getpid() };
	siginfo_t info;
	int pidfd = -1;
	long pid = clone_child(&child, &pidfd);

	if (pid > 0 && child.error != 0) {
		while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
			;
		close(pidfd);
		return -child.error;
	}
	request->pidfd = pidfd;
	return pid;
}
