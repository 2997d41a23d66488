/*
 * Trials of the system calls that a launch needs, and of those that a C library
 * falls back from: does a filter let them through.
 */
#include "compat.h"

#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trial_child.h"
#include "trials.h"

/* When the kernel would answer EPERM of its own accord before it looks at the arguments. */
enum gate {
	OPEN, /* never */
	OWNER, /* without CAP_SYS_ADMIN over our mount and uts namespaces */
	GROUPS, /* without the right to call setgroups(2) */
};

struct row {
	const char *name;
	long number;
	enum gate gate;
	int fallback; /* no launch needs it */
	long arguments[6];
};

#define ROW(name, gate, ...)                            \
	{                                               \
#name, SYS_##name, gate, 0, __VA_ARGS__ \
	}

#define FALLBACK(name, ...)                             \
	{                                               \
#name, SYS_##name, OPEN, 1, __VA_ARGS__ \
	}

/*
 * Arguments that fail for a reason of their own: an unknown flag or operation, a
 * bad descriptor, a path that is no pointer, a size that is too small. Two calls
 * cannot fail so: setting an id to -1 changes nothing and succeeds.
 * Source: the order of the checks in kernel/, fs/ and security/ of Linux 5.12 to 6.18.
 */
static const struct row rows[] = {
	ROW(clone, OPEN, { CLONE_NEWNS | CLONE_FS }),
	ROW(clone3, OPEN, { 0, 0 }),
	ROW(unshare, OPEN, { 1 }),
	ROW(setns, OPEN, { -1, 0 }),
	ROW(pidfd_open, OPEN, { 0, 0 }),
	ROW(pidfd_send_signal, OPEN, { -1, 0, 0, ~0U }),
	ROW(close_range, OPEN, { ~0U, 0, 0 }),
	ROW(memfd_create, OPEN, { 0, 0x1000 }),
	ROW(execve, OPEN, { 0, 0, 0 }),
	ROW(execveat, OPEN, { -1, 0, 0, 0, 0 }),
	ROW(openat2, OPEN, { -1, 0, 0, 0 }),
	ROW(faccessat2, OPEN, { -1, 0, 0, ~0U }),
	ROW(statx, OPEN, { -1, 0, 0, 0x80000000U, 0 }),
	ROW(mknodat, OPEN, { -1, 0, S_IFCHR, 0 }),
	ROW(mount, OPEN, { 0, 0, 0, 0, 0 }),
	ROW(umount2, OPEN, { 0, ~0U }),
	ROW(open_tree, OPEN, { -1, 0, 0x40000000 }),
	ROW(mount_setattr, OPEN, { -1, 0, 0x40000000, 0, 0 }),
	ROW(fsconfig, OPEN, { -1, 0, 0, 0, 0 }),
	ROW(chroot, OPEN, { 0 }),
	ROW(capget, OPEN, { 0, 0 }),
	ROW(capset, OPEN, { 0, 0 }),
	ROW(prctl, OPEN, { -1, 0, 0, 0, 0 }),
	ROW(seccomp, OPEN, { 0xffff, 0, 0 }),
	ROW(keyctl, OPEN, { 0xffff, 0, 0, 0, 0 }),
	ROW(prlimit64, OPEN, { 0, 0xffff, 0, 0 }),
	ROW(setresuid, OPEN, { -1, -1, -1 }),
	ROW(setresgid, OPEN, { -1, -1, -1 }),
	FALLBACK(copy_file_range, { -1, 0, -1, 0, 0, ~0U }),
	FALLBACK(epoll_pwait2, { -1, 0, 0, 0, 0, 0 }),
	FALLBACK(fchmodat2, { -1, 0, 0, ~0U }),
	FALLBACK(getrandom, { 0, 0, ~0U }),
	FALLBACK(mlock2, { 0, 0, ~0U }),
	FALLBACK(pidfd_getfd, { -1, 0, ~0U }),
	FALLBACK(preadv2, { -1, 0, 0, 0, 0, 0 }),
	FALLBACK(pwritev2, { -1, 0, 0, 0, 0, 0 }),
	FALLBACK(renameat2, { -1, 0, -1, 0, ~0U }),
	ROW(setgroups, GROUPS, { -1, 0 }),
	ROW(fsopen, OWNER, { 0, ~0U }),
	ROW(fsmount, OWNER, { -1, ~0U, 0 }),
	ROW(fspick, OWNER, { -1, 0, ~0U }),
	ROW(move_mount, OWNER, { -1, 0, -1, 0, ~0U }),
	ROW(pivot_root, OWNER, { 0, 0 }),
	ROW(sethostname, OWNER, { 0, -1 }),
};

enum {
	ROWS = sizeof(rows) / sizeof(rows[0]),
};

_Static_assert(sizeof(rows) / sizeof(rows[0]) <= (size_t)TRIAL_RESULTS,
	       "more system calls than the shared page has results");

const char *nb_trial_syscall(int32_t index)
{
	return index >= 0 && index < ROWS ? rows[index].name : NULL;
}

int32_t nb_trial_number(int32_t index)
{
	return index >= 0 && index < ROWS ? (int32_t)rows[index].number : -1;
}

int32_t nb_trial_is_fallback(int32_t index)
{
	return index >= 0 && index < ROWS && rows[index].fallback;
}

uint32_t nb_audit_architecture(void)
{
#if defined(__x86_64__) && !defined(__ILP32__)
	return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
	return AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
	return AUDIT_ARCH_RISCV64;
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
	return AUDIT_ARCH_PPC64LE;
#elif defined(__s390x__)
	return AUDIT_ARCH_S390X;
#else
	return 0;
#endif
}

static int owns_namespaces(void)
{
	return syscall(SYS_unshare, CLONE_NEWNS | CLONE_NEWUTS) == 0 ||
	       syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS) == 0;
}

static int32_t call_row(const struct row *row)
{
	const long *a = row->arguments;
	long result;

	errno = 0;
	result = syscall(row->number, a[0], a[1], a[2], a[3], a[4], a[5]);
	return result < 0 && (errno == ENOSYS || errno == EPERM) ? errno : 0;
}

/* Ungated calls come first in the table, so that namespaces are made as late as possible. */
static void run_syscalls(struct page *page, const struct trial *trial)
{
	int owner = -1;

	for (int32_t i = trial->first; i < trial->count; i++) {
		page->step = i;
		page->results[i] = NB_TRIAL_LEFT_OUT;
		if (rows[i].gate == OWNER && owner < 0)
			owner = owns_namespaces();
		if (rows[i].gate == OPEN || (rows[i].gate == OWNER && owner > 0) ||
		    (rows[i].gate == GROUPS && trial->kind))
			page->results[i] = call_row(&rows[i]);
	}
	page->step = trial->count;
}

int32_t nb_try_syscalls(int32_t *results, int32_t count, int32_t can_setgroups, int32_t limit_ms)
{
	struct trial trial = { .run = run_syscalls, .kind = can_setgroups, .count = count };
	struct page *page;
	int32_t error = 0;

	if (count < 0 || count > ROWS)
		return -EINVAL;
	page = nb_new_page();
	if (page == NULL)
		return -errno;
	while (error >= 0 && trial.first < count) {
		page->step = trial.first;
		error = nb_run_child(page, &trial, limit_ms);
		if (error > 0)
			page->results[page->step] = error;
		trial.first = page->step + 1;
	}
	memcpy(results, page->results, (size_t)count * sizeof(*results));
	nb_free_page(page);
	return error < 0 ? error : 0;
}
