/* What a process sees and may do, told from inside a container without the help of any other
 * program: `probe NAME [ARGUMENT]... [+ NAME [ARGUMENT]...]...` prints lines "key value".
 * A thing that was tried prints 0 or the errno. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DESCRIPTORS = 1024, MIB = 1 << 20, PAGE = 4096 };

static const char *argument(char **arguments, int index)
{
	return arguments[index] ? arguments[index] : "";
}

static void told(const char *key, int result)
{
	printf("%s %d\n", key, result < 0 ? errno : 0);
}

static unsigned long long word(const struct __user_cap_data_struct data[2], int set)
{
	unsigned low[] = { data[0].effective, data[0].permitted, data[0].inheritable };
	unsigned high[] = { data[1].effective, data[1].permitted, data[1].inheritable };
	return (unsigned long long)high[set] << 32 | low[set];
}

static void capabilities(char **arguments)
{
	(void)arguments;
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	if (syscall(SYS_capget, &header, data) < 0) {
		told("capget", -1);
		return;
	}
	printf("effective %llx\npermitted %llx\ninheritable %llx\n", word(data, 0), word(data, 1),
	       word(data, 2));
	unsigned long long bounding = 0, ambient = 0;
	for (int capability = 0; capability < 64; capability++) {
		if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) {
			bounding |= 1ULL << capability;
		}
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1) {
			ambient |= 1ULL << capability;
		}
	}
	printf("bounding %llx\nambient %llx\n", bounding, ambient);
}

static void attributes(char **arguments)
{
	(void)arguments;
	printf("no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	printf("seccomp %d\n", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
	printf("securebits %d\n", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	printf("pid %d\nsession %d\n", getpid(), getsid(0));
}

static void ids(char **arguments)
{
	(void)arguments;
	gid_t groups[64];
	int count = getgroups(64, groups);
	printf("uid %d\ngid %d\ngroups ", getuid(), getgid());
	for (int i = 0; i < count; i++) {
		printf("%s%d", i ? "," : "", groups[i]);
	}
	printf("\n");
}

static void descriptors(char **arguments)
{
	(void)arguments;
	printf("descriptors ");
	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		if (fcntl(fd, F_GETFD) >= 0) {
			printf("%s%d", fd ? "," : "", fd);
		}
	}
	printf("\n");
}

static void directory(char **arguments)
{
	(void)arguments;
	char path[4096];
	printf("cwd %s\n", getcwd(path, sizeof path) ? path : strerror(errno));
}

static void terminal(char **arguments)
{
	(void)arguments;
	struct winsize size = { 0 };
	for (int fd = 0; fd < 3; fd++) {
		printf("isatty%d %d\n", fd, isatty(fd));
	}
	if (ioctl(0, TIOCGWINSZ, &size) == 0) {
		printf("rows %d\ncolumns %d\n", size.ws_row, size.ws_col);
	}
	printf("ttyname %s\n", ttyname(0) ? ttyname(0) : "-");
}

static void push(char **arguments)
{
	(void)arguments;
	char byte = 'x';
	told("push", ioctl(0, TIOCSTI, &byte));
}

static void bind_port(char **arguments)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((unsigned short)atoi(argument(arguments, 0))),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	told("bind", fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address));
}

static void make_directory(char **arguments)
{
	told("mkdir", mkdir(argument(arguments, 0), 0755));
}

static void make_node(char **arguments)
{
	dev_t device = (dev_t)(atoi(argument(arguments, 1)) << 8 | atoi(argument(arguments, 2)));
	told("mknod", mknod(argument(arguments, 0), S_IFBLK | 0600, device));
}

static void open_file(char **arguments)
{
	int writing = strcmp(argument(arguments, 1), "w") == 0;
	told("open", open(argument(arguments, 0), (writing ? O_WRONLY : O_RDONLY) | O_CLOEXEC));
}

static void read_link(char **arguments)
{
	char target[4096];
	ssize_t length = readlink(argument(arguments, 0), target, sizeof target - 1);
	target[length < 0 ? 0 : length] = 0;
	printf("link %s\n", target);
}

static void use_memory(char **arguments)
{
	size_t size = (size_t)atoi(argument(arguments, 0)) * MIB;
	volatile char *memory = malloc(size);

	for (size_t at = 0; memory && at < size; at += PAGE)
		memory[at] = 1;
	told("memory", memory ? 0 : -1);
	free((void *)memory);
}

static void fork_children(char **arguments)
{
	int wanted = atoi(argument(arguments, 0)), made = 0, failure = 0;
	while (made < wanted) {
		pid_t child = fork();
		if (child < 0) {
			failure = errno;
			break;
		}
		if (child == 0) {
			pause();
			_exit(0);
		}
		made++;
	}
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(NULL) > 0) {}
	printf("forked %d\nfork %d\n", made, failure);
}

static void unblocked(char **arguments)
{
	(void)arguments;
	sigset_t blocked;
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	int count = 0, ignored = 0;
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		count += sigismember(&blocked, number) == 1;
		if (sigaction(number, NULL, &action) == 0) {
			ignored += action.sa_handler == SIG_IGN;
		}
	}
	printf("blocked %d\nignored %d\n", count, ignored);
}

static const struct {
	const char *name;
	void (*function)(char **arguments);
} probes[] = {
	{ "attributes", attributes },
	{ "bind", bind_port },
	{ "capabilities", capabilities },
	{ "cwd", directory },
	{ "descriptors", descriptors },
	{ "fork", fork_children },
	{ "ids", ids },
	{ "memory", use_memory },
	{ "mkdir", make_directory },
	{ "mknod", make_node },
	{ "open", open_file },
	{ "push", push },
	{ "readlink", read_link },
	{ "signals", unblocked },
	{ "terminal", terminal },
};

static int run(const char *name, char **arguments)
{
	for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
		if (strcmp(probes[i].name, name) == 0) {
			probes[i].function(arguments);
			return 0;
		}
	}
	fprintf(stderr, "probe: no probe %s\n", name);
	return 2;
}

int main(int count, char **arguments)
{
	for (int at = 1; at < count;) {
		int first = at;
		while (at < count && strcmp(arguments[at], "+") != 0) {
			at++;
		}
		/* The separator ends the arguments of this one. */
		arguments[at++] = NULL;
		int failed = run(argument(arguments, first), arguments + first + 1);
		if (failed) {
			return failed;
		}
	}
	return 0;
}
