/* How the process is scheduled, where its memory comes from, and as what machine it sees this one. */
#include <errno.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum {
	IOPRIO_OF_PROCESS = 1, /* include/uapi/linux/ioprio.h, IOPRIO_WHO_PROCESS */
	WORD_BITS = 64,
};

int op_scheduler(const struct plan *plan, const struct nb_step *step)
{
	const uint32_t *attributes = (const void *)text(plan, step, 0);

	/* Its first field is its size, which the kernel believes. */
	if (step->num[0] < sizeof(uint32_t) || attributes[0] != step->num[0]) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_sched_setattr, 0, attributes, 0);
}

int op_io_priority(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	return (int)syscall(SYS_ioprio_set, IOPRIO_OF_PROCESS, 0, step->num[0]);
}

int op_affinity(const struct plan *plan, const struct nb_step *step)
{
	return (int)syscall(SYS_sched_setaffinity, 0, step->num[0] * sizeof(uint64_t),
			    text(plan, step, 0));
}

int op_memory_policy(const struct plan *plan, const struct nb_step *step)
{
	uint64_t words = step->num[1];

	/* The kernel reads one bit less than it is told. */
	return (int)syscall(SYS_set_mempolicy, step->num[0], words ? text(plan, step, 0) : NULL,
			    words ? words * WORD_BITS + 1 : 0);
}

int op_personality(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	return personality((unsigned long)step->num[0]) < 0 ? -1 : 0;
}
