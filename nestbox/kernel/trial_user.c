/*
 * Trials of namespaces: which can be made, what a new user namespace is good for, and
 * what can be written in them.
 */
#include "compat.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "trial_child.h"
#include "trials.h"

int32_t nb_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int32_t error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

/* "0 ID 1\n": maps the first id of a new namespace to our own. */
static void format_map(char *text, uint32_t id)
{
	char digits[16];
	int count = 0;

	do {
		digits[count++] = (char)('0' + id % 10);
		id /= 10;
	} while (id > 0);
	*text++ = '0';
	*text++ = ' ';
	while (count > 0)
		*text++ = digits[--count];
	strcpy(text, " 1\n");
}

/* Our ids from before the namespace is made: in it they are those of nobody until they are mapped. */
struct own_ids {
	uint32_t uid;
	uint32_t gid;
};

static int32_t write_map(const char *path, uint32_t id)
{
	char map[32];

	format_map(map, id);
	return nb_write_file(path, map);
}

int32_t nb_enter_mount_namespace(void)
{
	int32_t error = nb_errno_of(syscall(SYS_unshare, CLONE_NEWNS));

	if (error == 0)
		error = nb_errno_of(syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	return error;
}

/* One step on the way to a user namespace that is of use. */
static int32_t user_step(enum nb_user_step step, const struct own_ids *own)
{
	switch (step) {
	case NB_USER_MAKE:
		return nb_errno_of(syscall(SYS_unshare, CLONE_NEWUSER));
	case NB_USER_SETGROUPS:
		return nb_write_file("/proc/self/setgroups", "deny");
	case NB_USER_UID_MAP:
		return write_map("/proc/self/uid_map", own->uid);
	case NB_USER_GID_MAP:
		return write_map("/proc/self/gid_map", own->gid);
	case NB_USER_RIGHTS:
		/* A security module can let one be made and void every right over it. */
		return nb_errno_of(syscall(SYS_unshare, CLONE_NEWUTS));
	case NB_USER_MOUNT:
	case NB_USER_STEPS:
		break;
	}
	/* Landlock, and AppArmor's profiles for containers, let nobody mount. */
	return nb_enter_mount_namespace();
}

int32_t nb_enter_user_namespace(void)
{
	const struct own_ids own = { .uid = geteuid(), .gid = getegid() };
	int32_t error = 0;

	for (int step = NB_USER_MAKE; error == 0 && step <= NB_USER_GID_MAP; step++)
		error = user_step((enum nb_user_step)step, &own);
	return error;
}

static void run_user_steps(struct page *page, const struct trial *trial)
{
	const struct own_ids own = { .uid = geteuid(), .gid = getegid() };

	for (int32_t step = trial->first; step < trial->count; step++) {
		page->step = step;
		page->results[step] = user_step((enum nb_user_step)step, &own);
		if (page->results[step] != 0)
			return;
	}
}

int32_t nb_try_user_steps(int32_t *results, int32_t limit_ms)
{
	const struct trial trial = { .run = run_user_steps, .count = NB_USER_STEPS };
	struct page *page = nb_new_page();
	int32_t error;

	if (page == NULL)
		return -errno;
	for (int32_t step = 0; step < NB_USER_STEPS; step++)
		page->results[step] = NB_TRIAL_LEFT_OUT;
	error = nb_run_child(page, &trial, limit_ms);
	if (error > 0)
		page->results[page->step] = error;
	memcpy(results, page->results, NB_USER_STEPS * sizeof(*results));
	nb_free_page(page);
	return error < 0 ? error : 0;
}

static void run_unshare(struct page *page, const struct trial *trial)
{
	const uint64_t user = trial->kind ? CLONE_NEWUSER : 0;

	page->results[0] = nb_errno_of(syscall(SYS_unshare, trial->flags | user));
}

int32_t nb_try_unshare(uint64_t flags, int32_t in_user_namespace, int32_t limit_ms)
{
	const struct trial trial = {
		.run = run_unshare,
		.flags = flags,
		.kind = in_user_namespace,
	};

	return nb_try_once(&trial, limit_ms);
}

static void run_writes(struct page *page, const struct trial *trial)
{
	int32_t error = trial->kind ? nb_enter_user_namespace() : 0;

	if (error == 0)
		error = nb_errno_of(syscall(SYS_unshare, trial->flags));
	if (error != 0)
		return;
	for (int32_t i = 0; i < trial->count; i++) {
		page->step = i;
		page->results[i] = nb_write_file(trial->paths[i], trial->values[i]);
	}
}

int32_t nb_try_writes(const char *const *paths, const char *const *values, int32_t count,
		      uint64_t flags, int32_t in_user_namespace, int32_t *results, int32_t limit_ms)
{
	const struct trial trial = {
		.run = run_writes,
		.paths = paths,
		.values = values,
		.flags = flags,
		.kind = in_user_namespace,
		.count = count,
	};
	struct page *page;
	int32_t error;

	if (count < 0 || count > TRIAL_RESULTS)
		return -EINVAL;
	page = nb_new_page();
	if (page == NULL)
		return -errno;
	for (int32_t i = 0; i < count; i++)
		page->results[i] = NB_TRIAL_LEFT_OUT;
	error = nb_run_child(page, &trial, limit_ms);
	memcpy(results, page->results, (size_t)count * sizeof(*results));
	nb_free_page(page);
	return error < 0 ? error : 0;
}
