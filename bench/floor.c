/*
 * floor: the least that a launch can do. It makes the namespaces, builds the same
 * mounts as the configuration that the other launchers are given, pivots, executes the
 * program and waits for it. No capabilities, no seccomp, no cgroup, no checks of paths:
 * everything a launcher spends above this is its own.
 *
 * floor ROOT [CHANGE]... -- PROGRAM [ARGUMENT]...
 * A change names an absolute path inside ROOT:
 *   t:DIRECTORY              a tmpfs for cgroup hierarchies
 *   1:DIRECTORY:CONTROLLERS  a hierarchy of version 1, read-only
 *   2:DIRECTORY              that of version 2, read-only
 *   f:FILE, d:DIRECTORY      masked
 *   r:PATH                   made read-only
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 125, STACK_SIZE = 64 * 1024 };

static const unsigned long NO_EXEC = MS_NOSUID | MS_NODEV | MS_NOEXEC;
static const int NAMESPACES = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
			      CLONE_NEWCGROUP | CLONE_NEWNET;

static const struct node {
	const char *path;
	unsigned major, minor;
} nodes[] = {
	{ "dev/null", 1, 3 },	{ "dev/zero", 1, 5 },	 { "dev/full", 1, 7 },
	{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
};

static const struct link {
	const char *path, *target;
} links[] = {
	{ "dev/fd", "/proc/self/fd" },	     { "dev/stdin", "/proc/self/fd/0" },
	{ "dev/stdout", "/proc/self/fd/1" }, { "dev/stderr", "/proc/self/fd/2" },
	{ "dev/ptmx", "pts/ptmx" },
};

static void need(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
		_exit(FAILED);
	}
}

static void make_devices(void)
{
	umask(0);
	need(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k"), "dev");
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		need(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)),
		     nodes[i].path);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		need(symlink(links[i].target, links[i].path), links[i].path);
	need(mkdir("dev/pts", 0755) | mkdir("dev/shm", 01777) | mkdir("dev/mqueue", 0755), "mkdir");
	need(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		   "newinstance,ptmxmode=0666,mode=0620,gid=5"),
	     "dev/pts");
	need(mount("shm", "dev/shm", "tmpfs", NO_EXEC, "mode=1777,size=65536k"), "dev/shm");
	need(mount("mqueue", "dev/mqueue", "mqueue", NO_EXEC, NULL), "dev/mqueue");
	umask(022);
}

/* Mount a cgroup hierarchy, the one with these controllers or else that of version 2. */
static void mount_hierarchy(const char *path, const char *controllers)
{
	const char *type = controllers ? "cgroup" : "cgroup2";

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		need(-1, path);
	need(mount(type, path, type, NO_EXEC | MS_RELATIME | MS_RDONLY, controllers), path);
}

/* Split "/path:options" where it stands and return the options. */
static const char *split(char *path)
{
	char *colon = strrchr(path, ':');

	if (!colon)
		return NULL;
	*colon = '\0';
	return colon + 1;
}

static void apply(char *change)
{
	char *path = change + sizeof("f:/") - 1;
	const char *controllers;

	switch (change[0]) {
	case 't':
		need(mount("tmpfs", path, "tmpfs", NO_EXEC, "mode=755,size=64k"), path);
		break;
	case '1':
		controllers = split(path);
		mount_hierarchy(path, controllers);
		break;
	case '2':
		mount_hierarchy(path, NULL);
		break;
	case 'f':
		need(mount("/dev/null", path, NULL, MS_BIND, NULL), path);
		break;
	case 'd':
		need(mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0k"), path);
		break;
	default:
		need(mount(path, path, NULL, MS_BIND | MS_REC, NULL), path);
		need(mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | NO_EXEC, NULL),
		     path);
	}
}

static int contained(void *arguments)
{
	char **argv = arguments;
	const char *root = *argv++;

	need(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), "slave /");
	need(mount(root, root, NULL, MS_BIND | MS_REC, NULL), root);
	need(chdir(root), root);
	need(mount("proc", "proc", "proc", NO_EXEC, NULL), "proc");
	make_devices();
	need(mount("sysfs", "sys", "sysfs", NO_EXEC | MS_RDONLY, NULL), "sys");
	while (*argv && strcmp(*argv, "--") != 0)
		apply(*argv++);
	need(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	need(umount2(".", MNT_DETACH), "umount old root");
	need(chdir("/"), "chdir /");
	need(sethostname("bench", 5), "sethostname");
	if (!argv[0] || !argv[1])
		return FAILED;
	execv(argv[1], argv + 1);
	need(-1, "exec");
	return FAILED;
}

int main(int argc, char *argv[])
{
	static _Alignas(16) char stack[STACK_SIZE];
	int status;
	pid_t pid;

	if (argc < 4)
		return FAILED;
	pid = clone(contained, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | NAMESPACES | SIGCHLD,
		    argv + 1);
	need(pid, "clone");
	need(waitpid(pid, &status, 0), "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
