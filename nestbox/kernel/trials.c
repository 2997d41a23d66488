/*
 * Trials of overlays, file systems and device nodes: the steps of a launch, in a
 * child and in namespaces of its own, so that they leave nothing behind.
 */
#include "compat.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trial_child.h"
#include "trials.h"

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
	const int in_user = trial->kind == NB_OVERLAY_USER ||
			    trial->kind == NB_OVERLAY_USER_DIRECTORY;
	const int on_tmpfs = trial->kind == NB_OVERLAY_USER || trial->kind == NB_OVERLAY_TMPFS;
	int32_t error = in_user ? nb_enter_user_namespace() : 0;

	if (error == 0)
		error = nb_enter_mount_namespace();
	if (error == 0 && on_tmpfs)
		error = mount_tmpfs(trial->directory);
	if (error == 0)
		error = nb_errno_of(chdir(trial->directory));
	if (error == 0 && on_tmpfs)
		error = nb_errno_of(mkdir("upper", 0700) | mkdir("work", 0700) |
				    mkdir("lower", 0700));
	page->results[0] = error != 0 ? error : mount_overlay(trial->lower, in_user);
}

int32_t nb_try_overlay(const char *lower, const char *directory, int32_t kind, int32_t limit_ms)
{
	const struct trial trial = {
		.run = run_overlay, .lower = lower, .directory = directory, .kind = kind
	};

	return nb_try_once(&trial, limit_ms);
}

/* fork(2) without what the C library does before and after it. */
static pid_t plain_fork(void)
{
#ifdef __s390x__
	return (pid_t)syscall(SYS_clone, 0, SIGCHLD, 0, 0, 0);
#else
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

static int32_t make_fresh(const char *type, int32_t readonly)
{
	int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);

	if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return errno;
	/* Here the kernel looks whether it shows what the mounts of others cover. */
	return nb_errno_of(
		syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, readonly ? MOUNT_ATTR_RDONLY : 0));
}

static void run_fresh(struct page *page, const struct trial *trial)
{
	int32_t error = trial->kind ? nb_enter_user_namespace() : 0;
	pid_t pid;

	if (error == 0)
		error = nb_errno_of(syscall(SYS_unshare, CLONE_NEWNS | trial->flags));
	if (error != 0) {
		page->results[0] = error;
		return;
	}
	/* A proc shows the pid namespace of who makes it, and only a child is in the new one. */
	pid = plain_fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		page->results[0] = make_fresh(trial->text, trial->first);
		_exit(0);
	}
	if (pid < 0)
		page->results[0] = errno;
	else
		waitpid(pid, NULL, 0);
}

int32_t nb_try_fresh(const char *type, uint64_t flags, int32_t readonly, int32_t in_user_namespace,
		     int32_t limit_ms)
{
	const struct trial trial = {
		.run = run_fresh,
		.text = type,
		.flags = flags,
		.kind = in_user_namespace,
		.first = readonly,
	};

	return nb_try_once(&trial, limit_ms);
}

static void run_read(struct page *page, const struct trial *trial)
{
	int fd = open(trial->text, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char text[4096];

	page->results[0] = fd < 0 ? errno : nb_errno_of(read(fd, text, sizeof(text)));
}

int32_t nb_try_read(const char *path, int32_t limit_ms)
{
	const struct trial trial = { .run = run_read, .text = path };

	return nb_try_once(&trial, limit_ms);
}

static void run_mknod(struct page *page, const struct trial *trial)
{
	int32_t error = nb_enter_mount_namespace();

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

	return nb_try_once(&trial, limit_ms);
}

static void run_oom_score(struct page *page, const struct trial *trial)
{
	page->results[0] = nb_write_file("/proc/self/oom_score_adj", trial->text);
}

int32_t nb_try_oom_score(const char *score, int32_t limit_ms)
{
	const struct trial trial = { .run = run_oom_score, .text = score };

	return nb_try_once(&trial, limit_ms);
}
