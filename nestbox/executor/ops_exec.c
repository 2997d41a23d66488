/* The last steps: stay behind as init, or become the container's program. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "../kernel/close_from.h"
#include "init.h"
#include "syscalls.h"

enum {
	SIGNAL_STATUS = 128,
	NUMBERS = NB_PRESERVED_FD + NB_MAX_PRESERVED + 4 * NB_SLOTS, /* above all that we open */
};

/* Reaps what is there; the status of the child ends init and with it the container. */
static void reap(pid_t child)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == child)
			_exit(WIFSIGNALED(status) ? SIGNAL_STATUS + WTERMSIG(status) :
						    WEXITSTATUS(status));
}

/* PID 1: hands every signal on, reaps every orphan, holds no descriptor but 0, 1 and 2. */
static _Noreturn void serve(pid_t child)
{
	sigset_t all;
	siginfo_t info;

	/* Not even those that are kept for the program; the end of control tells of its exec. */
	if (close_from(NB_PLAN_FD, false) < 0)
		/* A filter hides close_range(2), and the container has no /proc to list them. */
		for (int fd = NB_PLAN_FD; fd < NUMBERS; fd++)
			close(fd);
	sigfillset(&all);
	for (;;) {
		reap(child);
		if (sigwaitinfo(&all, &info) < 0)
			continue;
		/* The terminal's own signals reach the foreground group without us. */
		if (info.si_signo != SIGCHLD && info.si_signo != SIGTTIN &&
		    info.si_signo != SIGTTOU)
			kill(child, info.si_signo);
	}
}

int op_init(const struct plan *plan, const struct nb_step *step)
{
	sigset_t all, none;
	pid_t child;

	(void)plan;
	(void)step;
	/* A change of ids may have set it to fs.suid_dumpable; the child's exec sets it anew. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -1;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	child = fork();
	if (child < 0)
		return -1;
	if (child > 0)
		serve(child);
	/* A group of its own, in the foreground if there is a terminal, as a shell would. */
	if (setpgid(0, 0) == 0)
		tcsetpgrp(0, getpid());
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

void split_list(const char *at, uint64_t count, char **out)
{
	for (uint64_t i = 0; i < count; i++) {
		out[i] = (char *)(uintptr_t)at;
		at += strlen(at) + 1;
	}
	out[count] = NULL;
}

/* As execvp(3): the next path is tried when there is nothing to execute at this one. */
static int execute_first(char **paths, uint64_t count, char **args, char **env)
{
	int refused = 0;

	errno = ENOENT;
	for (uint64_t i = 0; i < count; i++) {
		execve(paths[i], args, env);
		if (errno == EACCES)
			refused = errno;
		else if (errno != ENOENT && errno != ENOTDIR)
			return -1;
	}
	if (refused)
		errno = refused;
	return -1;
}

int op_exec(const struct plan *plan, const struct nb_step *step)
{
	uint64_t args = step->num[0], env = step->num[1], paths = step->num[2];
	/* Bounded by the size of the plan, in which each string takes a byte. */
	size_t size = (size_t)(args + env + paths + 3) * sizeof(char *);
	char **vectors =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (vectors == MAP_FAILED)
		return -1;
	split_list(text(plan, step, 0), args, vectors);
	split_list(text(plan, step, 1), env, vectors + args + 1);
	split_list(text(plan, step, 2), paths, vectors + args + env + 2);
	return execute_first(vectors + args + env + 2, paths, vectors, vectors + args + 1);
}

/*
 * What an exec of this path would be refused with, or 0. With the capabilities that
 * we have by now, which access(2) leaves out; a filter may not know the newer call.
 */
static int look_at(const char *path)
{
	struct stat info;

	if (stat(path, &info) < 0)
		return errno;
	if (S_ISDIR(info.st_mode))
		return EISDIR;
	if (syscall(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM)
		return errno;
	return info.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH) ? 0 : EACCES;
}

/* While whoever creates is still there. */
int op_find_program(const struct plan *plan, const struct nb_step *step)
{
	const char *path = text(plan, step, 0);
	int refused = ENOENT;

	for (uint64_t i = 0; i < step->num[0]; i++, path += strlen(path) + 1) {
		int error = look_at(path);

		if (error == 0)
			return 0;
		if (error != ENOENT && error != ENOTDIR)
			refused = error;
	}
	errno = refused;
	return -1;
}

/* The program finds the caller's descriptors where the caller had them. */
int op_preserve(const struct plan *plan, const struct nb_step *step)
{
	int count = (int)step->num[0];
	int moved;

	(void)plan;
	if (step->num[0] > NB_MAX_PRESERVED) {
		errno = EINVAL;
		return -1;
	}
	for (uint64_t i = 0; i < NB_SLOTS; i++)
		set_slot(i, -1);
	moved = fcntl(control, F_DUPFD_CLOEXEC, NB_PRESERVED_FD + count);
	if (moved < 0)
		return -1;
	close(control);
	control = moved;
	for (int i = 0; i < count; i++)
		if (dup2(NB_PRESERVED_FD + i, NB_PLAN_FD + i) < 0)
			return -1;
	return 0;
}
