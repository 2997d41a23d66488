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
	NB_OVERLAY_USER_DIRECTORY = 3, /* as the first, in a new user namespace */
};

/* Makes the namespaces, when asked together with a new user namespace that owns them. */
int32_t nb_try_unshare(uint64_t flags, int32_t in_user_namespace, int32_t limit_ms);

/*
 * The steps from which a new user namespace is of use: making it, denying
 * setgroups(2) in it, mapping our own ids to 0, using a capability over it, and
 * changing a mount in it.
 */
enum nb_user_step {
	NB_USER_MAKE = 0,
	NB_USER_SETGROUPS = 1,
	NB_USER_UID_MAP = 2,
	NB_USER_GID_MAP = 3,
	NB_USER_RIGHTS = 4,
	NB_USER_MOUNT = 5,
	NB_USER_STEPS = 6,
};

/* Results as above, one for each step; those after one that fails are left out. */
int32_t nb_try_user_steps(int32_t *results, int32_t limit_ms);

/*
 * Writes values to files, in new namespaces of these kinds and when asked in a new
 * user namespace that owns them: one result each, left out where those cannot be had.
 */
int32_t nb_try_writes(const char *const *paths, const char *const *values, int32_t count,
		      uint64_t flags, int32_t in_user_namespace, int32_t *results,
		      int32_t limit_ms);

/* Makes an overlay over lower without attaching it; DIRECTORY holds "upper" and "work". */
int32_t nb_try_overlay(const char *lower, const char *directory, int32_t kind, int32_t limit_ms);

/*
 * Makes a file system of this type without attaching it, in new namespaces of these
 * flags and a new mount namespace, when asked with a new user namespace that owns them.
 */
int32_t nb_try_fresh(const char *type, uint64_t flags, int32_t readonly, int32_t in_user_namespace,
		     int32_t limit_ms);

/* Opens and reads a file of at most a page, which a server that hangs would hold. */
int32_t nb_try_read(const char *path, int32_t limit_ms);

/* Makes the node c 1:3 on a new tmpfs mounted over the directory, and opens it. */
int32_t nb_try_mknod(const char *directory, int32_t limit_ms);

/* Makes a veth link in a new network namespace. */
int32_t nb_try_link(int32_t limit_ms);

/* Writes an oom_score_adj, in decimal, for the child alone. */
int32_t nb_try_oom_score(const char *score, int32_t limit_ms);

/* Name of the system call that a trial knows as index; NULL after the last. */
const char *nb_trial_syscall(int32_t index);

/* Its number here; and whether it is one that libraries fall back from and no launch needs. */
int32_t nb_trial_number(int32_t index);
int32_t nb_trial_is_fallback(int32_t index);

/* The architecture in seccomp_data for these numbers, AUDIT_ARCH_*; 0 where it is not known. */
uint32_t nb_audit_architecture(void);

/*
 * Calls each system call with arguments that cannot succeed. Results are as
 * above, except that any errno but ENOSYS and EPERM counts as 0: the kernel
 * answered. can_setgroups says that the kernel would let us call setgroups(2).
 */
int32_t nb_try_syscalls(int32_t *results, int32_t count, int32_t can_setgroups, int32_t limit_ms);
