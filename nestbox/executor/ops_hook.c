/* Hooks of the configuration: children that get the container's state and may fail the launch. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum {
	EXITED = 1, /* how a hook ended, in value[0] of the report */
	SIGNALLED = 2,
	NOT_EXECUTED = 127,
	HOOK_UMASK = 022,
	MILLISECONDS = 1000,
	NANOSECONDS = 1000000, /* of a millisecond */
};

/* What a hook is given, and what is heard from it. */
struct hook {
	const char *path;
	char **args;
	char **env;
	int input; /* the state */
	int output;
	int failure; /* errno of a failed exec; closes at a good one */
};

static _Noreturn void become_hook(const struct hook *hook)
{
	mode_t mask = umask(HOOK_UMASK);
	int error;

	/* Ours is none until the program's is set: what a hook makes is not for everybody to write. */
	if (mask != 0)
		umask(mask);
	if (dup2(hook->input, 0) == 0 && dup2(hook->output, 1) == 1 && dup2(hook->output, 2) == 2)
		execve(hook->path, hook->args, hook->env);
	error = errno;
	if (write(hook->failure, &error, sizeof(error)) < 0)
		_exit(NOT_EXECUTED + 1);
	_exit(NOT_EXECUTED);
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * MILLISECONDS + time.tv_nsec / NANOSECONDS;
}

/* Waits for its end; 0 when the time is over. */
static int wait_for(int pidfd, uint64_t limit)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	int64_t deadline = now() + (int64_t)limit;

	for (;;) {
		int64_t left = limit ? deadline - now() : -1;
		int found;

		if (limit && left <= 0)
			return 0;
		found = poll(&ended, 1, left > INT32_MAX ? INT32_MAX : (int)left);
		if (found > 0 || (found < 0 && errno != EINTR))
			return found;
	}
}

static int judge(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	report.value[0] = WIFSIGNALED(status) ? SIGNALLED : EXITED;
	report.value[1] = (uint64_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	errno = ECHILD;
	return -1;
}

static int reap_hook(pid_t child, int *status)
{
	pid_t pid;

	do
		pid = waitpid(child, status, 0);
	while (pid < 0 && errno == EINTR);
	return pid < 0 ? -1 : 0;
}

static int attend(pid_t child, int failure, uint64_t limit)
{
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
	int ended = pidfd < 0 ? -1 : wait_for(pidfd, limit);
	int error = errno;
	int status;

	if (pidfd >= 0)
		close(pidfd);
	if (ended <= 0)
		kill(child, SIGKILL);
	if (reap_hook(child, &status) < 0)
		return -1;
	if (ended <= 0) {
		errno = ended < 0 ? error : ETIMEDOUT;
		return -1;
	}
	if (read(failure, &error, sizeof(error)) == sizeof(error)) {
		errno = error;
		return -1;
	}
	return judge(status);
}

static int run_hook(struct hook *hook, uint64_t limit)
{
	int failure[2];
	pid_t child;
	int result, error;

	if (pipe2(failure, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	hook->failure = failure[1];
	child = fork();
	if (child == 0)
		become_hook(hook);
	error = errno;
	close(failure[1]);
	errno = error;
	result = child < 0 ? -1 : attend(child, failure[0], limit);
	error = errno;
	close(failure[0]);
	errno = error;
	return result;
}

/* A file in memory: whoever does not read it, or prints much, stops nobody. */
static int memory_file(struct payload content)
{
	int fd = (int)syscall(SYS_memfd_create, "nestbox-hook", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (pwrite(fd, content.bytes, content.length, 0) != (ssize_t)content.length) {
		close(fd);
		errno = EIO;
		return -1;
	}
	return fd;
}

/* The last of what it printed says most often why it failed. */
static void keep_output(int output)
{
	int error = errno;
	off_t size = lseek(output, 0, SEEK_END);
	off_t room = sizeof(report.message) - 1;
	ssize_t n = pread(output, report.message, (size_t)room, size > room ? size - room : 0);

	report.message[n > 0 ? n : 0] = '\0';
	errno = error;
}

int op_hook(const struct plan *plan, const struct nb_step *step)
{
	uint64_t args = step->num[0], env = step->num[1];
	/* Bounded by the size of the plan, in which each string takes a byte. */
	size_t size = (size_t)(args + env + 2) * sizeof(char *);
	char **vectors =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct hook hook = { .path = text(plan, step, 0), .args = vectors };
	int result = -1;
	int error;

	if (vectors == MAP_FAILED)
		return -1;
	hook.env = vectors + args + 1;
	split_list(text(plan, step, 1), args, hook.args);
	split_list(text(plan, step, 2), env, hook.env);
	hook.input = memory_file(last_payload());
	hook.output = memory_file((struct payload){ .bytes = "", .length = 0 });
	if (hook.input >= 0 && hook.output >= 0)
		result = run_hook(&hook, step->num[2]);
	if (result < 0 && hook.output >= 0)
		keep_output(hook.output);
	error = errno;
	if (hook.input >= 0)
		close(hook.input);
	if (hook.output >= 0)
		close(hook.output);
	munmap(vectors, size);
	errno = error;
	return result;
}
