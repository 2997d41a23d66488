/*
 * Trials: what is tried in a throwaway child, so that our own process stays as it
 * is. A result is 0 (it works), a positive errno, or one of enum nb_trial. A
 * negative result is -errno of the trial itself: the child could not be made.
 * Read by gcc and by cffi.
 */
enum nb_trial {
	NB_TRIAL_KILLED = 100001, /* the child died by a signal */
	NB_TRIAL_TIMEOUT = 100002, /* the child did not end in time */
	NB_TRIAL_LEFT_OUT = 100003, /* the kernel's own EPERM would look like a filter's */
};

enum nb_overlay {
	NB_OVERLAY_DIRECTORY = 0, /* upper and work in the given directory */
	NB_OVERLAY_TMPFS = 1, /* upper and work on a new tmpfs */
	NB_OVERLAY_USER = 2, /* the same in a new user namespace */
};

/* Makes the namespaces, when asked inside a new user namespace. */
int32_t nb_try_unshare(uint64_t flags, int32_t in_user_namespace, int32_t limit_ms);

/* Makes an overlay over lower without attaching it; DIRECTORY holds "upper" and "work". */
int32_t nb_try_overlay(const char *lower, const char *directory, int32_t kind, int32_t limit_ms);

/* Makes the node c 1:3 on a new tmpfs mounted over the directory, and opens it. */
int32_t nb_try_mknod(const char *directory, int32_t limit_ms);

/* Writes an oom_score_adj, in decimal, for the child alone. */
int32_t nb_try_oom_score(const char *score, int32_t limit_ms);

/* Name of the system call that a trial knows as index; NULL after the last. */
const char *nb_trial_syscall(int32_t index);

/*
 * Calls each system call with arguments that cannot succeed. Results are as
 * above, except that any errno but ENOSYS and EPERM counts as 0: the kernel
 * answered. can_setgroups says that the kernel would let us call setgroups(2).
 */
int32_t nb_try_syscalls(int32_t *results, int32_t count, int32_t can_setgroups, int32_t limit_ms);
