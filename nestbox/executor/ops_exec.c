/* The last steps: stay behind as init, or become the container's program. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum { SIGNAL_STATUS = 128 };

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

	/* The last one that is open besides them; its end tells the runtime of the exec. */
	close(NB_CONTROL_FD);
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

/* Points out[] at count strings that lie one after another. */
static void split(const char *at, uint64_t count, char **out)
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
	split(text(plan, step, 0), args, vectors);
	split(text(plan, step, 1), env, vectors + args + 1);
	split(text(plan, step, 2), paths, vectors + args + env + 2);
	return execute_first(vectors + args + env + 2, paths, vectors, vectors + args + 1);
}
