/*
 * peak: runs a program and prints the peak resident memory, in KiB, of the largest process that
 * it and its awaited children had. It exists because it is small: the peak that wait4(2) reports
 * includes that of the process which spawned, so the benchmark itself cannot ask for it.
 *
 * peak PROGRAM [ARGUMENT]...
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 125 };

int main(int argc, char *argv[])
{
	struct rusage usage;
	int status;
	pid_t pid;

	if (argc < 2)
		return FAILED;
	pid = vfork();
	if (pid == 0) {
		execvp(argv[1], argv + 1);
		_exit(FAILED);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) < 0)
		return FAILED;
	printf("%ld\n", usage.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
