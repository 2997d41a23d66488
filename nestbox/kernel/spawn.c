/*
 * Starts the executor. The child shares our memory until it executes (as with
 * vfork), so a large interpreter costs nothing, and nothing but raw system calls
 * may happen in it: another thread of ours may hold any lock.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "close_from.h"
#include "spawn.h"

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL /* Linux 5.5 */
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL /* Linux 5.7 */
#endif

enum {
	PLAN_FD = 3,
	CONTROL_FD = 4,
	STACK_SIZE = 16384,
};

struct child {
	const struct nb_spawn *request;
	int processes; /* cgroup.procs of the cgroup to enter, or -1 */
	int error; /* written by the child, in the memory that it shares with us */
};

/*
 * In a user namespace without maps an exec as "nobody" would lose every right over
 * it, and the maps are written by us, who wait for that exec. Ambient capabilities
 * survive it; the plan sets all five sets again later.
 */
static int keep_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return -1;
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		return -1;
	for (unsigned int number = 0; number < 64; number++)
		if ((data[number / 32].permitted >> number % 32 & 1) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0)
			return -1;
	return 0;
}

/*
 * A thread that moves itself needs no lock against forks of other threads, for which the kernel
 * would wait until every processor has passed through it: some milliseconds.
 */
static void enter_cgroups(int32_t *tasks, int count)
{
	for (int i = 0; i < count; i++)
		if (write(tasks[i], "0", 1) == 1)
			tasks[i] = -1;
}

/* Moves what the child is given out of the way first, so that no place is taken twice. */
static int place_descriptors(int32_t *given, int count, int program)
{
	for (int i = 0; i < count; i++) {
		if (given[i] < 0)
			continue;
		given[i] = fcntl(given[i], F_DUPFD_CLOEXEC, count + 1);
		if (given[i] < 0)
			return -1;
	}
	for (int i = 0; i < count; i++) {
		if (given[i] >= 0 && dup2(given[i], i) < 0)
			return -1;
		if (given[i] < 0 && i > CONTROL_FD)
			close(i);
	}
	if (dup3(program, count, O_CLOEXEC) < 0)
		return -1;
	/* Whatever else our process holds open ends here, in this copy (CVE-2024-21626). */
	return close_from(count + 1, false);
}

/*
 * What CLONE_CLEAR_SIGHAND and CLONE_INTO_CGROUP do for a child of clone3(2). The
 * handlers are a copy of ours; a pending signal would run one of them, in our memory.
 */
static int make_up_for_clone3(const struct child *child)
{
	struct sigaction action;

	if (child->processes >= 0 && write(child->processes, "0", 1) != 1)
		return -1;
	for (int number = 1; number < NSIG; number++) {
		if (sigaction(number, NULL, &action) < 0 || action.sa_handler == SIG_DFL ||
		    action.sa_handler == SIG_IGN)
			continue;
		action.sa_handler = SIG_DFL;
		action.sa_flags = 0;
		sigaction(number, &action, NULL);
	}
	return 0;
}

/* Runs in the child, in our memory: places the descriptors and executes. */
static int become_executor(void *argument)
{
	struct child *child = argument;
	static const char *const argv[] = { "nestbox-init", NULL };
	static const char *const env[] = { NULL };
	int count = child->request->given_count;
	int program = fcntl(child->request->program, F_DUPFD_CLOEXEC, count + 1);
	sigset_t none;

	enter_cgroups(child->request->tasks, child->request->tasks_count);
	if (child->request->plain && make_up_for_clone3(child) < 0)
		goto fail;
	if (program < 0 || place_descriptors(child->request->given, count, program) < 0)
		goto fail;
	if ((child->request->flags & CLONE_NEWUSER) && keep_capabilities() < 0)
		goto fail;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	syscall(SYS_execveat, count, "", argv, env, AT_EMPTY_PATH);
fail:
	child->error = errno;
	_exit(127);
}

#if defined(__x86_64__)
/* clone3 onto a stack of the child's own; there is no wrapper for it in libc. */
static long clone_with_stack(struct clone_args *args, int (*run)(void *), void *argument)
{
	register long result __asm__("rax") = SYS_clone3;
	register void *run_in __asm__("r8") = (void *)run;
	register void *argument_in __asm__("r9") = argument;

	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "movq %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "ud2\n"
			 "1:"
			 : "+r"(result)
			 : "D"(args), "S"(sizeof(*args)), "r"(run_in), "r"(argument_in)
			 : "rcx", "r11", "memory", "cc");
	return result;
}
#define SHARES_MEMORY (CLONE_VM | CLONE_VFORK)
#elif defined(__aarch64__)
static long clone_with_stack(struct clone_args *args, int (*run)(void *), void *argument)
{
	register long number __asm__("x8") = SYS_clone3;
	register long result __asm__("x0") = (long)args;
	register size_t size __asm__("x1") = sizeof(*args);
	register void *run_in __asm__("x9") = (void *)run;
	register void *argument_in __asm__("x10") = argument;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, #0\n\t"
			 "mov x0, x10\n\t"
			 "blr x9\n\t"
			 "brk #0\n"
			 "1:"
			 : "+r"(result)
			 : "r"(number), "r"(size), "r"(run_in), "r"(argument_in)
			 : "memory", "cc");
	return result;
}
#define SHARES_MEMORY (CLONE_VM | CLONE_VFORK)
#else
/* Elsewhere the child is a copy of our process: slower, and the error of a failed exec is lost. */
static long clone_with_stack(struct clone_args *args, int (*run)(void *), void *argument)
{
	long result;

	args->stack = 0;
	args->stack_size = 0;
	result = syscall(SYS_clone3, args, sizeof(*args));
	if (result == 0)
		run(argument);
	return result < 0 ? -errno : result;
}
#define SHARES_MEMORY CLONE_VFORK
#endif

static int write_plan(const struct nb_spawn *request)
{
	int fd = memfd_create("nestbox-plan", MFD_CLOEXEC);
	uint64_t done = 0;

	if (fd < 0)
		return -1;
	while (done < request->plan_size) {
		ssize_t n =
			pwrite(fd, request->plan + done, request->plan_size - done, (off_t)done);

		if (n <= 0) {
			int error = n < 0 ? errno : EIO;

			close(fd);
			errno = error;
			return -1;
		}
		done += (uint64_t)n;
	}
	return fd;
}

/* With clone3(2), in its cgroup from the first moment on. */
static long clone_newer(const struct nb_spawn *request, struct child *child, char *stack,
			int *pidfd)
{
	struct clone_args args = {
		.flags = request->flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | SHARES_MEMORY,
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)stack,
		.stack_size = STACK_SIZE,
	};

	if (request->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (__u64)(uint32_t)request->cgroup;
	}
	return clone_with_stack(&args, become_executor, child);
}

/*
 * With clone(2). The file of the cgroup is opened here: in a new user namespace the
 * child has no right to, and the kernel asks what its opener had.
 */
static long clone_plain(const struct nb_spawn *request, struct child *child, char *stack,
			int *pidfd)
{
	const int flags = (int)request->flags | CLONE_PIDFD | CLONE_VM | CLONE_VFORK | SIGCHLD;
	long pid;

	if (request->cgroup >= 0) {
		child->processes = openat(request->cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		if (child->processes < 0)
			return -errno;
	}
	pid = clone(become_executor, stack + STACK_SIZE, flags, child, pidfd);
	if (pid < 0)
		pid = -errno;
	if (child->processes >= 0)
		close(child->processes);
	return pid;
}

/* With every signal blocked, so that no handler of ours ever runs in the child. */
static long clone_child(const struct nb_spawn *request, struct child *child, int *pidfd)
{
	_Alignas(16) char stack[STACK_SIZE];
	sigset_t all, old;
	long pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = request->plain ? clone_plain(request, child, stack, pidfd) :
			       clone_newer(request, child, stack, pidfd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return pid;
}

/* Reaps a child that could not execute and returns why. */
static long bury(const struct child *child, long pid, int pidfd)
{
	siginfo_t info;

	while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	close(pidfd);
	return -child->error;
}

int64_t nb_spawn(struct nb_spawn *request)
{
	int sockets[2];
	int pidfd = -1;
	int plan = write_plan(request);
	long pid;
	struct child child = { .request = request, .processes = -1 };

	if (plan < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
		int error = errno;

		close(plan);
		return -error;
	}
	request->given[PLAN_FD] = plan;
	request->given[CONTROL_FD] = sockets[1];
	pid = clone_child(request, &child, &pidfd);
	close(plan);
	close(sockets[1]);
	if (pid > 0 && child.error != 0)
		pid = bury(&child, pid, pidfd);
	if (pid < 0) {
		close(sockets[0]);
		return pid;
	}
	request->pidfd = pidfd;
	request->control = sockets[0];
	return pid;
}
