/* Ids, capability sets, no_new_privs and the seccomp filter: what is given up, in order. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "init.h"
#include "syscalls.h"

enum { CAPABILITY_BITS = 64 };

static uint32_t low(uint64_t mask)
{
	return (uint32_t)mask;
}

static uint32_t high(uint64_t mask)
{
	return (uint32_t)(mask >> 32);
}

int op_drop_bounding(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	for (unsigned long number = 0; number < CAPABILITY_BITS; number++)
		if ((step->num[0] >> number & 1) && prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0)
			return -1;
	return 0;
}

/*
 * System calls of one thread, since that is all we are. KEEPCAPS keeps permitted
 * over a change from uid 0; the capset step that follows says what stays.
 */
int op_ids(const struct plan *plan, const struct nb_step *step)
{
	/* UINT32_MAX would leave the id as it is, and what is above it would lose its upper half. */
	if (step->num[0] >= UINT32_MAX || step->num[1] >= UINT32_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return -1;
	if (step->num[3] && syscall(SYS_setgroups, step->num[2], text(plan, step, 0)) < 0)
		return -1;
	if (syscall(SYS_setresgid, step->num[1], step->num[1], step->num[1]) < 0 ||
	    syscall(SYS_setresuid, step->num[0], step->num[0], step->num[0]) < 0)
		return -1;
	return prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 ? -1 : stay_closed();
}

int op_capset(const struct plan *plan, const struct nb_step *step)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct data[2] = {
		{ low(step->num[0]), low(step->num[1]), low(step->num[2]) },
		{ high(step->num[0]), high(step->num[1]), high(step->num[2]) },
	};

	(void)plan;
	return (int)syscall(SYS_capset, &header, data);
}

/* A change from uid 0 clears effective; loading a filter needs it once more. */
int op_raise(const struct plan *plan, const struct nb_step *step)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	(void)plan;
	(void)step;
	if (syscall(SYS_capget, &header, data) < 0)
		return -1;
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	return (int)syscall(SYS_capset, &header, data);
}

int op_ambient(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -1;
	for (unsigned long number = 0; number < CAPABILITY_BITS; number++)
		if ((step->num[0] >> number & 1) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0)
			return -1;
	return 0;
}

int op_no_new_privs(const struct plan *plan, const struct nb_step *step)
{
	(void)plan;
	(void)step;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int op_seccomp(const struct plan *plan, const struct nb_step *step)
{
	const struct sock_fprog program = {
		.len = (unsigned short)step->num[0],
		.filter = (struct sock_filter *)(uintptr_t)text(plan, step, 0),
	};
	int listener;

	if (step->num[0] == 0 || step->num[0] > BPF_MAXINSNS) {
		errno = EINVAL;
		return -1;
	}
	listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, step->num[1], &program);
	if (listener < 0 || !(step->num[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER))
		return listener < 0 ? -1 : 0;
	if (send_report(NB_REPORT_LISTENER, listener) < 0)
		return -1;
	return close(listener);
}

static uint64_t prctl_mask(int option, unsigned long argument, uint64_t last)
{
	uint64_t mask = 0;

	for (unsigned long number = 0; number <= last && number < CAPABILITY_BITS; number++) {
		int held = option == PR_CAPBSET_READ ? prctl(option, number, 0, 0, 0) :
						       prctl(option, argument, number, 0, 0);
		if (held == 1)
			mask |= 1ULL << number;
	}
	return mask;
}

/* What the kernel shows must be what was planned; either way it is reported. */
int op_verify(const struct plan *plan, const struct nb_step *step)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	(void)plan;
	if (syscall(SYS_capget, &header, data) < 0)
		return -1;
	report.value[0] = (uint64_t)data[1].inheritable << 32 | data[0].inheritable;
	report.value[1] = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	report.value[2] = (uint64_t)data[1].effective << 32 | data[0].effective;
	report.value[3] = prctl_mask(PR_CAPBSET_READ, 0, step->num[5]);
	report.value[4] = prctl_mask(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, step->num[5]);
	if (send_report(NB_REPORT_SETS, -1) < 0)
		return -1;
	for (int i = 0; i < 5; i++)
		if (report.value[i] != step->num[i]) {
			errno = EBADE;
			return -1;
		}
	return 0;
}
