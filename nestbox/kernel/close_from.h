/*
 * Ends every descriptor from a number on: with close_range(2), or one by one where an outer seccomp
 * filter that is older than the call forbids it. Shared by the module and the executor.
 */
#ifndef NESTBOX_CLOSE_FROM_H
#define NESTBOX_CLOSE_FROM_H

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Source: getdents64(2), whose struct the C libraries do not agree about. */
struct listed {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

static inline int end_descriptor(int fd, bool at_exec)
{
	return at_exec ? fcntl(fd, F_SETFD, FD_CLOEXEC) : close(fd);
}

/* Source: proc_pid_fd(5). A listing goes on at the next number, whatever was closed before it. */
static inline int end_listed(int list, int first, bool at_exec)
{
	char entries[1024] __attribute__((aligned(8)));
	long n;

	while ((n = syscall(SYS_getdents64, list, entries, sizeof(entries))) > 0)
		for (long at = 0; at < n;) {
			const struct listed *entry = (const void *)(entries + at);
			int fd = 0;

			at += entry->length;
			for (const char *digit = entry->name; *digit; digit++)
				fd = *digit == '.' ? -1 : fd * 10 + (*digit - '0');
			if (fd >= first && fd != list && end_descriptor(fd, at_exec) < 0)
				return -1;
		}
	return n < 0 ? -1 : 0;
}

static inline int close_from(int first, bool at_exec)
{
	int list, result;

	if (syscall(SYS_close_range, first, ~0U, at_exec ? CLOSE_RANGE_CLOEXEC : 0) == 0)
		return 0;
	/* Before Linux 5.11 it cannot mark them, before 5.9 it is not there. */
	if (errno != EPERM && errno != ENOSYS && errno != EINVAL)
		return -1;
	list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (list < 0)
		return -1;
	result = end_listed(list, first, at_exec);
	close(list);
	return result;
}

#endif
