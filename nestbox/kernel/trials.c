/*
 * Trials of namespaces, overlays and device nodes: the steps of a launch, in a
 * child and in namespaces of its own, so that they leave nothing behind.
 */
#include "compat.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "trial_child.h"
#include "trials.h"

/* The result of a trial that has one step. */
static int32_t try_once(const struct trial *trial, int32_t limit_ms)
{
	struct page *page = nb_new_page();
	int32_t result;

	if (page == NULL)
		return -errno;
	page->results[0] = EPROTO; /* until the child says otherwise */
	result = nb_run_child(page, trial, limit_ms);
	if (result == 0)
		result = page->results[0];
	nb_free_page(page);
	return result;
}

static int32_t write_file(const char *path, const char *text)
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

static int32_t enter_user_namespace(void)
{
	char uid_map[32];
	char gid_map[32];
	int32_t error;

	format_map(uid_map, geteuid());
	format_map(gid_map, getegid());
	error = nb_errno_of(syscall(SYS_unshare, CLONE_NEWUSER));
	if (error == 0)
		error = write_file("/proc/self/setgroups", "deny");
	if (error == 0)
		error = write_file("/proc/self/uid_map", uid_map);
	if (error == 0)
		error = write_file("/proc/self/gid_map", gid_map);
	return error;
}

static void run_unshare(struct page *page, const struct trial *trial)
{
	page->results[0] = trial->kind ? enter_user_namespace() : 0;
	if (page->results[0] == 0)
		page->results[0] = nb_errno_of(syscall(SYS_unshare, trial->flags));
}

int32_t nb_try_unshare(uint64_t flags, int32_t in_user_namespace, int32_t limit_ms)
{
	const struct trial trial = {
		.run = run_unshare,
		.flags = flags,
		.kind = in_user_namespace,
	};

	return try_once(&trial, limit_ms);
}

static int32_t enter_mount_namespace(void)
{
	int32_t error = nb_errno_of(syscall(SYS_unshare, CLONE_NEWNS));

	if (error == 0)
		error = nb_errno_of(syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	return error;
}

/* A mount that is attached nowhere: its descriptor, or -1 with errno. */
static int new_mount(int context)
{
	if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
}

static int32_t mount_tmpfs(const char *directory)
{
	int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
	int mount = context < 0 ? -1 : new_mount(context);

	if (mount < 0)
		return errno;
	return nb_errno_of(
		syscall(SYS_move_mount, mount, "", AT_FDCWD, directory, MOVE_MOUNT_F_EMPTY_PATH));
}

static int set_option(int context, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, context,
			    value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, key, value, 0);
}

/* Relative paths, since a value of fsconfig(2) is at most 255 bytes long. */
static int32_t mount_overlay(const char *lower, int in_user_namespace)
{
	int context = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);

	if (context < 0 || set_option(context, "lowerdir", lower) < 0 ||
	    set_option(context, "upperdir", "upper") < 0 ||
	    set_option(context, "workdir", "work") < 0)
		return errno;
	if (in_user_namespace && set_option(context, "userxattr", NULL) < 0)
		return errno;
	return nb_errno_of(new_mount(context));
}

static void run_overlay(struct page *page, const struct trial *trial)
{
	int32_t error = trial->kind == NB_OVERLAY_USER ? enter_user_namespace() : 0;

	if (error == 0)
		error = enter_mount_namespace();
	if (error == 0 && trial->kind != NB_OVERLAY_DIRECTORY)
		error = mount_tmpfs(trial->directory);
	if (error == 0)
		error = nb_errno_of(chdir(trial->directory));
	if (error == 0 && trial->kind != NB_OVERLAY_DIRECTORY)
		error = nb_errno_of(mkdir("upper", 0700) | mkdir("work", 0700));
	page->results[0] = error != 0 ? error :
					mount_overlay(trial->lower, trial->kind == NB_OVERLAY_USER);
}

int32_t nb_try_overlay(const char *lower, const char *directory, int32_t kind, int32_t limit_ms)
{
	const struct trial trial = {
		.run = run_overlay, .lower = lower, .directory = directory, .kind = kind
	};

	return try_once(&trial, limit_ms);
}

static void run_mknod(struct page *page, const struct trial *trial)
{
	int32_t error = enter_mount_namespace();

	if (error == 0)
		error = mount_tmpfs(trial->directory);
	if (error == 0)
		error = nb_errno_of(chdir(trial->directory));
	if (error == 0)
		error = nb_errno_of(mknod("null", S_IFCHR | 0600, makedev(1, 3)));
	page->results[0] = error != 0 ? error : nb_errno_of(open("null", O_RDWR | O_CLOEXEC));
}

int32_t nb_try_mknod(const char *directory, int32_t limit_ms)
{
	const struct trial trial = { .run = run_mknod, .directory = directory };

	return try_once(&trial, limit_ms);
}

static void run_oom_score(struct page *page, const struct trial *trial)
{
	page->results[0] = write_file("/proc/self/oom_score_adj", trial->text);
}

int32_t nb_try_oom_score(const char *score, int32_t limit_ms)
{
	const struct trial trial = { .run = run_oom_score, .text = score };

	return try_once(&trial, limit_ms);
}
